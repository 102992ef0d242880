"""
Who waits for company: calls of a method that crowds ask for (`rabbitmq.names.BATCHED`).

A few go as they come. While that many are under way the others wait, and go together in one message as soon as an
answer has come, or those before them have not been answered for so long that nobody should wait for that.
"""

import time
from collections import deque
from collections.abc import Iterator
from itertools import islice

from gateway.calls import Call

#: Calls that go without company: with fewer under way nobody waits.
FEW = 4
#: Calls in one message. The service has room for so many messages that one of its processes can't have them all.
TOGETHER = 8
#: Seconds that an answer is worth waiting for.
PATIENCE = 0.1


class Crowd:
    """The calls of one method. Not for several threads."""

    def __init__(self) -> None:
        self._waiting: deque[Call] = deque()
        self._under_way: dict[str, float] = {}  # a call's id -> when it went; the first has been away for longest

    def join(self, call: Call) -> None:
        """It wants to go."""
        self._waiting.append(call)

    def leaving(self) -> Iterator[list[Call]]:
        """Those who are to go now, in groups of those who go together."""
        now = time.monotonic()
        while self._under_way and next(iter(self._under_way.values())) <= now - PATIENCE:
            del self._under_way[next(iter(self._under_way))]
        while self._waiting and len(self._under_way) < FEW:
            group = list(islice(self._waiting, TOGETHER))
            for call in group:
                self._waiting.popleft()
                self._under_way[call.id] = now
            yield group

    def note_answer(self, call_id: str) -> None:
        """It has been answered."""
        self._under_way.pop(call_id, None)

    def is_waiting(self) -> bool:
        """Whether some are left, for whom `leaving` is to be asked again."""
        return bool(self._waiting)
