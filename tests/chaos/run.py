"""A run: load and nemesis side by side, then quiet, then the checker."""

from collections.abc import Callable

from tests.chaos.checker import breaches, gather
from tests.chaos.faults import Fault
from tests.chaos.history import History
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis, Struck
from tests.chaos.report import Run
from tests.chaos.rigging import Rigging

#: Seconds between two requests of a client.
PAUSE = 0.15
#: Concerts whose sales close meanwhile: enough for eight minutes.
CLOSING = 12
#: Between a mail that is taken and the note of it stand who sends, who takes, and who keeps the note.
MAY_COPY = ("mailer_svc", "smtp", "mongod", "mailer_svc to smtp", "mailer_svc to mongod")
#: Faults that make the gateway refuse good tokens: it is its clock that says whether they are good.
REFUSES_TOKENS = ("clock minutes ahead gateway", "clock minutes behind gateway")


def run(
    rigging: Rigging,
    seed: int,
    faults: int,
    only: Callable[[Fault], bool] = lambda _: True,
    told: Callable[[Struck], object] = lambda _: None,
    closing: int = CLOSING,
) -> Run:
    """
    Strike at *rigging* so often while the sales of *closing* concerts close, and check.

    Returns:
        how each fault was got over, and what does not hold.
    """
    return judged(*under_fire(rigging, seed, faults, only, told, closing))


def under_fire(
    rigging: Rigging,
    seed: int,
    faults: int,
    only: Callable[[Fault], bool],
    told: Callable[[Struck], object] = lambda _: None,
    closing: int = CLOSING,
) -> tuple[Load, list[Struck]]:
    """Load and nemesis, side by side."""
    history = History()
    load = Load(rigging.box, history, seed, closing)
    struck: list[Struck] = []
    with load.going_on(PAUSE):
        for one in Nemesis(rigging, history, seed, only).strikes(faults):
            struck.append(one)
            told(one)
    return load, struck


def judged(load: Load, struck: list[Struck]) -> Run:
    """What became of it, once all is quiet."""
    facts = gather(
        load,
        may_copy=sum(one.fault.target in MAY_COPY for one in struck),
        wrong_clock=[(one.began, one.began + one.lasted) for one in struck if one.fault.name in REFUSES_TOKENS],
    )
    return Run(struck, facts, list(breaches(facts)))
