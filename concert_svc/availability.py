"""Which concerts have tickets: asked of booking_svc for many at once, remembered for a moment. It decides nothing."""

import time
from collections.abc import Callable

#: Seconds an answer is good for, and how many are kept.
REMEMBERED = 1.0
KEPT = 10_000


class Availability:
    """What one process remembers. *clock* gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[bool, float]] = {}  #: concert -> whether it has tickets, until when that is good

    def among(self, concert_ids: list[str], ask: Callable[[list[str]], list[str]]) -> set[str]:
        """Those with tickets; *ask* is asked for what is not remembered."""
        now = self._clock()
        known = {concert_id: self._known[concert_id] for concert_id in concert_ids if concert_id in self._known}
        unknown = [concert_id for concert_id in concert_ids if concert_id not in known or known[concert_id][1] <= now]
        if unknown:
            left = set(ask(unknown))
            if len(self._known) + len(unknown) > KEPT:
                self._known.clear()
            answered = {concert_id: (concert_id in left, now + REMEMBERED) for concert_id in unknown}
            self._known |= answered
            known |= answered
        return {concert_id for concert_id, (has_tickets, _) in known.items() if has_tickets}
