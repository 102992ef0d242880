"""Waiting until each part of a stack is ready, and telling why where it does not get there."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from local import console
from local.checks import NoAnswer
from local.settings import StackFailed
from local.signals import StopSignals
from local.supervisor import NotRunning, Supervisor

#: A process that was started this often before it was ready is not going to make it.
HOPELESS = 5
#: One that was started again counts as running when it has done so for this long.
SETTLED_SECONDS = 5
#: The supervisor's words for a process that should run and does not.
DOWN = ("starting", "backoff", "exited", "fatal")
LOG_LINES = 15
PAUSE = 0.1


class Readiness:
    """Waits for what a supervisor has started; every wait ends early when a stop is asked for."""

    def __init__(self, supervisor: Supervisor, signals: StopSignals) -> None:
        self._supervisor = supervisor
        self._signals = signals
        self._starts: defaultdict[str, set[int]] = defaultdict(set)

    def wait(self, checks: Mapping[str, Callable[[], None]], seconds: float) -> None:
        """
        Wait until none of *checks* raises `NoAnswer`, and tell of each, by its name, when it is met.

        Raises:
            StackFailed: one is not met after *seconds*, or a process keeps ending.
        """
        began = time.monotonic()
        pending = dict(checks)
        while True:
            answers = {}
            for name, check in list(pending.items()):
                self._signals.check()
                try:
                    check()
                except NoAnswer as answer:
                    answers[name] = answer
                else:
                    console.done(name, time.monotonic() - began)
                    del pending[name]
            if not pending:
                self._signals.check()
                return
            self._check_processes()
            if time.monotonic() > began + seconds:
                raise StackFailed(self._explain(answers, seconds))
            time.sleep(PAUSE)

    def everything_runs(self) -> None:
        """
        See that every process runs, and none of them only again.

        Raises:
            NoAnswer: one does not run, or had to be started anew a moment ago and may well end again.
        """
        try:
            processes = self._supervisor.processes()
        except NotRunning as error:
            raise NoAnswer("the supervisor does not answer") from error
        for process in processes:
            again = len(self._starts[process.name]) > 1
            if process.state != "running" or (again and time.time() < process.started + SETTLED_SECONDS):
                raise NoAnswer(f"{process.name} does not run steadily")

    def _check_processes(self) -> None:
        try:
            now = self._supervisor.processes()
        except NotRunning:
            if self._supervisor.ended():
                self._signals.check()
                raise StackFailed(f"The supervisor ended. {self._supervisor.last_words()}") from None
            return  # it is still starting
        for process in now:
            if process.started:
                self._starts[process.name].add(process.started)
            if len(self._starts[process.name]) >= HOPELESS:
                raise StackFailed(f"{process.name} keeps ending. " + self._log(process.name))

    def _explain(self, answers: Mapping[str, NoAnswer], seconds: float) -> str:
        missing = [f"{name} is not ready after {seconds:.0f} s: {answer}" for name, answer in answers.items()]
        try:
            down = [process.name for process in self._supervisor.processes() if process.state in DOWN]
        except NotRunning:
            down = []
        return "\n".join(missing + [f"{process} does not run. {self._log(process)}" for process in down])

    def _log(self, process: str) -> str:
        file = self._supervisor.log_of(process)
        return f"The end of {file}:\n{last_lines(file, LOG_LINES)}"


def last_lines(file: Path, count: int) -> str:
    """The last *count* lines of *file*, indented."""
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return "\n".join(f"    {line}" for line in lines[-count:]) or "    (nothing)"
