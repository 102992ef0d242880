"""
Confirmations that have had no effect: the event was handled by nobody, or lost with a broker.

A booking whose mail is still `queued` after a while is told of again, as the same event, then after twice as long, and
so on. Whoever has handled it before tells again what came of it.
"""

import logging
from datetime import UTC, datetime, timedelta

from booking_svc import domain
from booking_svc.bookings import Bookings
from booking_svc.domain import BookingDocument

log = logging.getLogger(__name__)

LONGEST_PAUSE = timedelta(days=1)
#: Bookings of one look.
BATCH = 500


class Confirmations:
    """Those of *bookings*; one is overdue after so long."""

    def __init__(self, bookings: Bookings, overdue: timedelta) -> None:
        self._bookings = bookings
        self._overdue = overdue

    def tell_overdue(self, now: datetime | None = None) -> int:
        """
        Tell again what is overdue.

        Returns:
            how many bookings that were.
        """
        now = now or datetime.now(UTC)
        found = self._bookings.awaiting_confirmation(now - self._overdue, now, BATCH)
        told = sum(self._tell(booking, now) for booking in found)
        if told:
            log.warning("%d confirmations are overdue and told again", told)
        return told

    def _tell(self, booking: BookingDocument, now: datetime) -> bool:
        try:
            tellings = booking["confirmation_mail"].get("tellings", 0) + 1
            event, next_telling = domain.awaited_event(booking), now + self._pause(tellings)
        except Exception:  # the others are not to wait for one that cannot be read
            log.exception("the confirmation of booking %s cannot be told again", booking["_id"])
            return False
        return self._bookings.tell_again(booking, event, tellings, next_telling)

    def _pause(self, tellings: int) -> timedelta:
        """Ever longer, and from the start a day where that is what is configured."""
        return min(self._overdue * 2 ** min(tellings, 30), max(LONGEST_PAUSE, self._overdue))
