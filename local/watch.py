"""Watching a running stack: whoever started it hears what had to be started again."""

from __future__ import annotations

import time
from collections import Counter

from local import console
from local.settings import StackFailed
from local.signals import StopSignals
from local.supervisor import NotRunning, Process, Supervisor

PAUSE = 0.5
#: A process that ends again and again is told of at most this often.
TELL_EVERY_SECONDS = 30


class Watch:
    """Watches one supervisor's processes."""

    def __init__(self, supervisor: Supervisor, signals: StopSignals) -> None:
        self._supervisor = supervisor
        self._signals = signals
        self._pids: dict[str, int] = {}
        self._restarts: Counter[str] = Counter()
        self._told: dict[str, float] = {}

    def run(self) -> None:
        """
        Tell of each process that ended and was started again, until a signal comes.

        Raises:
            StopRequested: a signal came.
            StackFailed: the supervisor has ended.
        """
        while True:
            self._signals.check()
            try:
                for process in self._supervisor.processes():
                    self._look_at(process)
            except NotRunning:
                if self._supervisor.ended():
                    self._signals.check()
                    raise StackFailed("The supervisor has ended, and with it everything else.") from None
            time.sleep(PAUSE)

    def _look_at(self, process: Process) -> None:
        if not process.pid or self._pids.setdefault(process.name, process.pid) == process.pid:
            return
        self._pids[process.name] = process.pid
        self._restarts[process.name] += 1
        now = time.monotonic()
        if now < self._told.get(process.name, -TELL_EVERY_SECONDS) + TELL_EVERY_SECONDS:
            return
        self._told[process.name] = now
        times = f" ({self._restarts[process.name]} times by now)" if self._restarts[process.name] > 1 else ""
        log = self._supervisor.log_of(process.name)
        console.say(f"  ↻ {process.name} had ended and runs again as {process.pid}{times}, see {log}")
