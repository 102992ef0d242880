"""
Confirmations that have had no effect: the event was handled by nobody, or lost with a broker.

A booking whose mail is still `queued` after a while is told of again, as the same event, then after twice as long, and
so on. Whoever has handled it before tells again what came of it.
"""

import logging
import time
from datetime import UTC, datetime, timedelta

from pymongo.errors import WriteError

from booking_svc import domain
from booking_svc.bookings import Bookings
from rabbitmq.faults import is_fault

log = logging.getLogger(__name__)

LONGEST_PAUSE = timedelta(days=1)
#: Bookings of one look.
BATCH = 500
#: Seconds for which a booking is left alone that cannot be read, or changed.
ASIDE = 600


class Confirmations:
    """Those of *bookings*; one is overdue after so long."""

    def __init__(self, bookings: Bookings, overdue: timedelta) -> None:
        self._bookings = bookings
        self._overdue = overdue
        self._aside: dict[str, float] = {}  # id -> until when

    def tell_overdue(self, now: datetime | None = None) -> int:
        """
        Tell again what is overdue.

        Returns:
            how many bookings that were.
        """
        now = now or datetime.now(UTC)
        self._aside = {one: until for one, until in self._aside.items() if until > time.monotonic()}
        found = self._bookings.awaiting_confirmation(now - self._overdue, now, BATCH, but=list(self._aside))
        told = sum(self._tell(booking_id, now) for booking_id in found)
        if told:
            log.warning("%d confirmations are overdue and told again", told)
        return told

    def _tell(self, booking_id: str, now: datetime) -> bool:
        try:
            booking = self._bookings.find(booking_id)
            if booking is None:
                return False
            tellings = booking["confirmation_mail"].get("tellings", 0) + 1
            event, next_telling = domain.awaited_event(booking), now + self._pause(tellings)
            return self._bookings.tell_again(booking, event, tellings, next_telling)
        except Exception as error:
            if is_fault(error) and not isinstance(error, WriteError):
                raise
            # The others are not to wait for one that cannot be read or written, nor for many of them.
            log.exception("the confirmation of booking %s cannot be told again", booking_id)
            self._aside[booking_id] = time.monotonic() + ASIDE
            return False

    def _pause(self, tellings: int) -> timedelta:
        """Ever longer, and from the start a day where that is what is configured."""
        return min(self._overdue * 2 ** min(tellings, 30), max(LONGEST_PAUSE, self._overdue))
