"""Strikes with one fault after the other, in an order that a seed decides, and says how each was got over."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.faults import Fault, all_faults
from tests.chaos.history import Asked, History
from tests.chaos.rigging import Rigging
from tests.polling import poll

#: Seconds within which a booking stands again, and those between two faults.
RECOVERING, BETWEEN = 120, (0.2, 1.0)


@dataclass(frozen=True)
class Struck:
    """One fault, and how it was got over; seconds."""

    fault: Fault
    began: float  #: monotonic
    lasted: float
    recovery: float  #: until the first booking stands that was asked for since: of a kill of ours, else of its end
    longest: Asked  #: request that was under way meanwhile
    failed: int  #: requests without a certain answer meanwhile


class Nemesis:
    """Of *rigging*, whose clients write *history*; the same *seed* strikes in the same order."""

    def __init__(
        self, rigging: Rigging, history: History, seed: int, only: Callable[[Fault], bool] = lambda _: True
    ) -> None:
        self._history = history
        self._chance = random.Random(seed)
        self._faults = [fault for fault in all_faults(rigging, self._chance) if only(fault)]
        self._stack = rigging.box.stack

    def strikes(self, times: int) -> Iterator[Struck]:
        """Each kind of fault once before any comes again."""
        order: list[Fault] = []
        for _ in range(times):
            if not order:
                order = self._chance.sample(self._faults, len(self._faults))
            yield self._strike(order.pop())
            time.sleep(self._chance.uniform(*BETWEEN))

    def _strike(self, fault: Fault) -> Struck:
        began = time.monotonic()
        fault.strike()
        over = time.monotonic()
        counts_from = began if fault.is_ours and fault.kind == "kill" else over
        recovery = poll(lambda: self._history.first_booking_after(counts_from), RECOVERING, every=0.02)
        poll(self._stack.is_ready, RECOVERING, every=0.1)  # one fault at a time
        meanwhile = self._history.since(began)
        return Struck(
            fault=fault,
            began=began,
            lasted=over - began,
            recovery=recovery,
            longest=max(meanwhile, key=lambda asked: asked.took),
            failed=sum(asked.outcome == "unknown" for asked in meanwhile),
        )
