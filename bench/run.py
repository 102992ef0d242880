"""The story of a run: what is measured, in which order, and what is said of it meanwhile."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from bench import backlog, costs, report, stack, yardstick
from bench.archive import Archive
from bench.chart import draw
from bench.crowd import gather
from bench.growth import CURVES, Ground, by_processes
from bench.measure import Measured, measure, together
from bench.profiler import profiled
from bench.programme import Programme
from bench.results import Results
from bench.scenarios import BOOKINGS, ECHO, SCENARIOS, Scenario
from bench.soak import soak
from bench.stack import Stack

TABLE, PACED, PROCESSES, SOAK = "table", "paced", "processes", "soak"
PARTS = (TABLE, PACED, *CURVES, PROCESSES, SOAK)
BUYERS = 5000
#: Connections where nothing else is said.
USUAL = 64
WARM_UP = 1
#: Of the rate that there is without pauses, over so many connections that each of them mostly rests, for so long.
CALM, CALM_CONNECTIONS, CALM_SECONDS = 0.7, 256, 8
SOAK_SECONDS = 600


class Plan(NamedTuple):
    """What is asked for; `make bench ARGS=--help` explains it."""

    parts: Sequence[str]
    only: Sequence[str]
    connections: Sequence[int]
    seconds: int
    rounds: int
    long: bool
    profile: str | None
    out: Path


class Run:
    """Carries out a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._results = Results(report.machine())
        self._audits: list[bool] = []

    def all(self) -> bool:
        """
        Do it. Gives whether the platform was sound after each load.

        Raises:
            NoStack, LoadFailed
        """
        parts, results = self._plan.parts, self._results
        _say(", ".join(f"{name} {value}" for name, value in results.machine.items()))
        results.yardstick = yardstick.measure()
        _say(f"A Flask app that does nothing, for comparison: {results.yardstick}")
        try:
            if set(parts) - {PROCESSES, SOAK} or self._soaks:
                with self._ground() as ground:
                    self._measure(ground)
            if PROCESSES in parts:
                with self._ground(BOOKING_PROCESSES="4") as ground:
                    results.curves[PROCESSES] = _curve(PROCESSES, by_processes(ground))
        finally:
            results.is_sound = bool(self._audits) and all(self._audits)
            self._keep()
        return results.is_sound

    @property
    def _soaks(self) -> bool:
        return self._plan.long and SOAK in self._plan.parts

    def _keep(self) -> None:
        """Write what there is, also of a run that was stopped."""
        self._plan.out.mkdir(parents=True, exist_ok=True)
        self._results.write(self._plan.out / "results.json")
        (self._plan.out / "tables.md").write_text(report.document(self._results.tables()))
        draw(self._results, self._plan.out / "chart.png")
        _say(f"\nWritten: results.json, tables.md and chart.png in {self._plan.out}")

    @contextmanager
    def _ground(self, **settings: str) -> Iterator[Ground]:
        """A stack with buyers and an organiser on it; audited in the end."""
        began = time.monotonic()
        with stack.running(**settings) as running:
            programme = Programme(running.facts)
            crowd = gather(running.facts, programme, BUYERS)
            archive = Archive(running.facts, programme, crowd.tokens[0])
            _say(f"\nA stack of its own with {BUYERS} buyers is ready after {time.monotonic() - began:.0f} s.")
            yield Ground(running, crowd, programme, archive, self._plan.seconds)
            self._results.backlog = backlog.read(running.facts)
            self._results.memory = dict(costs.read(running.processes(), memory=True).memory)
            _say("\n" + report.aftermath(self._results.backlog, self._results.memory))
            is_sound, said = running.audit()
            self._audits.append(is_sound)
            _say(said if not is_sound else "make audit: " + said.strip().splitlines()[-1])

    def _measure(self, ground: Ground) -> None:
        parts, results = self._plan.parts, self._results
        names = self._plan.only if TABLE in parts else ()
        made = [SCENARIOS[name](ground.crowd, ground.programme) for name in names]
        for scenario in made:
            measure(ground.stack, scenario, USUAL, WARM_UP)
        for number in self._plan.connections if made else ():
            results.table[number] = self._table(ground.stack, made, number)
        if BOOKINGS in names:
            results.mails.append(backlog.work_off(ground.stack, CALM_SECONDS))
            _say(f"\nWhat a mail takes\n{report.HEADER}")
            _say(report.row(results.mails[-1]))
        for name in (ECHO, BOOKINGS) if PACED in parts else ():
            results.paced.append(self._paced(ground.stack, SCENARIOS[name](ground.crowd, ground.programme)))
        for name, curve in CURVES.items():
            if name in parts:
                results.curves[name] = _curve(name, curve(ground, self._plan.long))
        if self._soaks:
            fresh = gather(ground.stack.facts, ground.programme, BUYERS)  # tokens expire
            _say(f"\n{SOAK_SECONDS} seconds of bookings\n{report.HEADER}  memory")
            for look in soak(ground.stack, fresh, ground.programme, SOAK_SECONDS):
                results.soak.append(look)
                _say(f"{report.row(look.measured)}  {report.mebibytes(sum(look.memory.values()))}")

    def _table(self, running: Stack, scenarios: Sequence[Scenario], connections: int) -> list[Measured]:
        _say(f"\n{connections} connections\n{report.HEADER}")
        taken: dict[str, list[Measured]] = {scenario.name: [] for scenario in scenarios}
        for _ in range(self._plan.rounds):
            for scenario in scenarios:
                with self._spy(running, scenario, connections):
                    one = measure(running, scenario, connections, self._plan.seconds)
                taken[scenario.name].append(one)
                _say(report.row(one.compared(taken.get(ECHO, [None])[-1])))
        means = [together(found) for found in taken.values()]
        means = [one.compared(report.echo_among(means)) for one in means]
        if self._plan.rounds > 1:
            _say("\n".join(["means", *map(report.row, means)]))
        return means

    def _spy(self, running: Stack, scenario: Scenario, connections: int) -> AbstractContextManager[None]:
        process = self._plan.profile
        if process is None:
            return nullcontext()
        name = f"{process}-{scenario.name}-{connections}.svg"
        self._plan.out.mkdir(parents=True, exist_ok=True)
        return profiled(running.processes()[process], self._plan.out / name)

    def _paced(self, running: Stack, scenario: Scenario) -> Measured:
        """At CALM of the rate without pauses. Connections that rest before each request make it a little less."""
        full = measure(running, scenario, USUAL, self._plan.seconds)
        pause = 1000 * CALM_CONNECTIONS / (CALM * max(1.0, full.rate))
        calm = measure(running, scenario, CALM_CONNECTIONS, CALM_SECONDS, pause)
        if scenario.name == ECHO:
            _say(f"\n{CALM_CONNECTIONS} connections that rest between requests\n{report.HEADER}")
        _say(f"{report.row(calm)}  of {full.rate:.0f} /s")
        return calm


def _curve(name: str, points: Iterator[tuple[int, Measured]]) -> list[tuple[int, Measured]]:
    _say(f"\n{name}\n{report.HEADER}")
    found = []
    for size, measured in points:
        found.append((size, measured))
        _say(report.row(measured, label=f"{size:,}"))
    return found


def _say(text: str) -> None:
    print(text, flush=True)
