"""One measurement: load on a stack for some seconds, and what it cost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from bench import costs
from bench.scenarios import Scenario
from bench.stack import IN_THE_BACKGROUND, Stack

TURNED_AWAY = "unavailable"


@dataclass(frozen=True)
class Measured:
    """What came of a scenario."""

    scenario: str
    connections: int
    seconds: float
    rate: float  #: answers a second that were as expected
    p50: float  #: milliseconds
    p99: float
    cpu: Mapping[str, float]  #: milliseconds for each that is not TURNED_AWAY, by program; `wrk` is the load itself
    others: Mapping[str, int] = field(default_factory=dict)  #: answers that were not as expected
    of_echo: float | None = None  #: its rate, as a part of echo's, measured beside it

    @property
    def cpu_in_all(self) -> float:
        """Of what a request waits for: neither the load nor what works in the background."""
        return sum(ms for program, ms in self.cpu.items() if program not in (*IN_THE_BACKGROUND, "wrk"))

    def compared(self, echo: Self | None) -> Self:
        """The same, with `of_echo`, if there is an echo."""
        return replace(self, of_echo=self.rate / echo.rate) if echo and echo.rate else self

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "cpu_in_all": self.cpu_in_all}


def measure(stack: Stack, scenario: Scenario, connections: int, seconds: float, pause: float = 0) -> Measured:
    """
    Load the *stack* for *seconds*; see `Load.run`.

    Raises:
        LoadFailed
    """
    connections = min(connections, scenario.most)
    processes = stack.processes()
    with stack.background_rests() if scenario.alone else nullcontext():
        before = costs.read(processes)
        answers = scenario.load.run(stack.api_url, connections, seconds, pause)
        spent = {**costs.read(processes).since(before), "wrk": answers.cpu}
    # Whom the gateway turns away at once, since there is too much to do, costs next to nothing and got nothing.
    number = max(1, sum(answers.counted.values()) - answers.counted.get(TURNED_AWAY, 0))
    return Measured(
        scenario=scenario.name,
        connections=connections,
        seconds=answers.seconds,
        rate=answers.counted.get(scenario.expected, 0) / answers.seconds,
        p50=answers.p50,
        p99=answers.p99,
        cpu=costs.for_each(spent, number),
        others={name: count for name, count in answers.counted.items() if name != scenario.expected},
    )


def together(rounds: Sequence[Measured]) -> Measured:
    """Several measurements of the same as one: means, weighted by time; the slowest 1 % is the worst of theirs."""
    seconds = sum(one.seconds for one in rounds)
    others: Counter[str] = Counter()
    for one in rounds:
        others.update(one.others)

    def mean(values: Sequence[float]) -> float:
        return sum(value * one.seconds for value, one in zip(values, rounds, strict=True)) / seconds

    return Measured(
        scenario=rounds[0].scenario,
        connections=rounds[0].connections,
        seconds=seconds,
        rate=mean([one.rate for one in rounds]),
        p50=mean([one.p50 for one in rounds]),
        p99=max(one.p99 for one in rounds),
        cpu={program: mean([one.cpu.get(program, 0.0) for one in rounds]) for program in rounds[0].cpu},
        others=dict(others),
    )
