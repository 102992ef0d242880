"""A line of requests that wait for a thread: no longer than is served within PATIENCE."""

import threading
import time

#: Seconds that somebody who joins may have to wait. With the time in a thread it stays below a second.
PATIENCE = 0.3
#: How many are let in whatever their time, for each thread; and at most, since each takes memory.
AT_LEAST, AT_MOST = 1.25, 16
#: Seconds between two that leave, until that is known.
PACE = 0.005
#: How much of the pace the last one makes: they come in groups.
WEIGHT = 1 / 64


class Line:
    """Who joins leaves when a thread takes them; *threads* serve it."""

    def __init__(self, threads: int, patience: float = PATIENCE) -> None:
        self._least, self._most, self._patience = AT_LEAST * threads, AT_MOST * threads, patience
        self._lock = threading.Lock()
        self._pace = PACE  # seconds between two that leave, while others wait
        self._left_at, self._others_waited = 0.0, False
        self.waiting = 0

    def join(self) -> bool:
        """Whether there is room for one more, who is in the line then."""
        with self._lock:
            if self.waiting >= self._room():
                return False
            self.waiting += 1
            return True

    def leave(self) -> None:
        """A thread takes the first."""
        now = time.monotonic()
        with self._lock:
            self.waiting -= 1
            if self._others_waited:
                self._pace += (now - self._left_at - self._pace) * WEIGHT
            self._left_at, self._others_waited = now, self.waiting > 0

    def _room(self) -> int:
        return int(max(self._least, min(self._most, self._patience / max(self._pace, 1e-6))))
