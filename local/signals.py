"""Ctrl-C and SIGTERM: the first asks for an orderly stop, the others are told that it is under way."""

from __future__ import annotations

import os
import signal
from types import FrameType

from local import processes

STOPPING = b"\nStopping ...\n"
PATIENCE = b"Already stopping; this takes up to 15 s.\n"


class StopRequested(Exception):
    """Somebody asked for the stack to stop."""


class StopSignals:
    """Whether SIGINT, SIGTERM or SIGHUP came."""

    def __init__(self) -> None:
        self._came = False
        self._make: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A caller that ignores SIGHUP (nohup) wants us to outlive the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def follow_make(self) -> None:
        """
        Stop also when the make that called us ends, however it ends, or gets a SIGINT.

        GNU make passes SIGTERM on to its commands, but not a SIGINT that was sent to it alone: it takes that for a
        Ctrl-C, which would have reached the commands, too, and waits for them. It has stopped catching it, though.
        """
        processes.end_with_parent(signal.SIGTERM)
        if processes.catches(os.getppid(), signal.SIGINT):
            self._make = os.getppid()

    def check(self) -> None:
        """
        Carry on unless a signal came.

        Raises:
            StopRequested: one came.
        """
        if not self._came and self._make and not processes.catches(self._make, signal.SIGINT):
            self._note(signal.SIGINT, None)
        if self._came:
            raise StopRequested

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Not print: a signal may come in the middle of one.
        try:
            os.write(1, PATIENCE if self._came else STOPPING)
        except OSError:  # the terminal is gone
            pass
        self._came = True
