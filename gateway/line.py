"""How many requests of a kind are let in: no more than are answered within PATIENCE."""

import threading
import time

#: Seconds that whoever is let in may have to wait for an answer, as it goes at present.
PATIENCE = 0.3
#: How many are let in however slow it is, for each thread: some beside those that threads are at. And at most, since
#: each takes memory.
AT_LEAST, AT_MOST = 3, 16
#: Seconds between two that leave, until that is known.
PACE = 0.004
#: How much of the pace the last one makes: they come in groups.
WEIGHT = 1 / 64


class Line:
    """Who joins leaves with an answer; *threads* serve it."""

    def __init__(self, threads: int, patience: float = PATIENCE) -> None:
        self._threads, self._patience = threads, patience
        self._lock = threading.Lock()
        self._pace = PACE  # seconds between two that leave, while every thread is busy
        self._left_at, self._was_full = 0.0, False
        self.inside = 0

    def join(self) -> bool:
        """Whether there is room for one more, who is in the line then."""
        with self._lock:
            if self.inside >= self._room():
                return False
            self.inside += 1
            return True

    def lasts(self, seconds: float) -> bool:
        """Whether no thread is without work for so long, though nobody joins."""
        with self._lock:
            return (self.inside - self._threads) * self._pace > seconds

    def leave(self) -> None:
        """One is answered."""
        now = time.monotonic()
        with self._lock:
            self.inside -= 1
            if self._was_full:
                self._pace += (now - self._left_at - self._pace) * WEIGHT
            self._left_at, self._was_full = now, self.inside >= self._threads

    def _room(self) -> int:
        """By Little's law: as many are inside as come in the time that one is."""
        served = self._patience / max(self._pace, 1e-6)
        return int(max(AT_LEAST * self._threads, min(AT_MOST * self._threads, served)))
