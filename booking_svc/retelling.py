"""
What has had no effect is told again: an event was handled by nobody, or lost with a broker.

A booking whose confirmation is still `queued` after a while is told of again, as the same event, then after twice as
long, and so on, unless the mailer says that the mail is on its way; so is other news of it, until the mailer says that
it has entered the mail. Whoever has handled an event before tells again what came of it.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from pymongo.errors import WriteError

from booking_svc import domain
from booking_svc.bookings import Bookings
from booking_svc.domain import BookingDocument
from rabbitmq.errors import Unavailable
from rabbitmq.faults import is_fault

#: Booking id -> kind of its mail; gives the bookings whose mail is on its way.
FindWaiting = Callable[[dict[str, str]], list[str]]

log = logging.getLogger(__name__)

LONGEST_PAUSE = timedelta(days=1)
#: Bookings of one look.
BATCH = 500
#: Seconds for which a booking is left alone that cannot be read, or changed.
ASIDE = 600


class Retelling:
    """Of the news of *bookings*; what has had no effect after so long is overdue."""

    def __init__(self, bookings: Bookings, overdue: timedelta) -> None:
        self._bookings = bookings
        self._overdue = overdue
        self._aside: dict[str, float] = {}  # id -> until when
        self._silent_since: float | None = None  # since when the mailer has not answered

    def tell_overdue(self, find_waiting: FindWaiting, now: datetime | None = None) -> int:
        """
        Tell again what is overdue. *find_waiting* is the mailer's.

        Returns:
            how many events that were.
        """
        now = now or self._bookings.now()
        self._aside = {one: until for one, until in self._aside.items() if until > time.monotonic()}
        aside, before = list(self._aside), now - self._overdue
        awaited = self._bookings.awaiting_confirmation(before, now, BATCH, aside)
        told = self._tell(self._tell_confirmation, self._lost_among(awaited, find_waiting, now), now)
        told += self._tell(self._tell_unheard, self._bookings.unheard(before, BATCH, aside), now)
        if told:
            log.warning("%d events have had no effect and are told again", told)
        return told

    def _lost_among(self, awaited: dict[str, str], find_waiting: FindWaiting, now: datetime) -> list[str]:
        """
        The bookings whose mail the mailer does not have, or has told the end of. For the others it needs time.

        One that has not answered for as long as makes things overdue has none of them, as far as we know.
        """
        if not awaited:
            return []
        try:
            waiting, self._silent_since = set(find_waiting(awaited)), None
        except Unavailable:
            waiting, self._silent_since = set(), self._silent_since or time.monotonic()
            if time.monotonic() < self._silent_since + self._overdue.total_seconds():
                return []
        if waiting:
            self._bookings.put_off_telling(list(waiting), now + self._pause(1))
        return [booking_id for booking_id in awaited if booking_id not in waiting]

    def _tell(self, tell: Callable[[BookingDocument, datetime], int], found: list[str], now: datetime) -> int:
        told = 0
        for booking_id in found:
            try:
                booking = self._bookings.find(booking_id)
                told += 0 if booking is None else tell(booking, now)
            except Exception as error:
                if is_fault(error) and not isinstance(error, WriteError):
                    raise
                # The others are not to wait for one that cannot be read or written, nor for many of them.
                log.exception("nothing of booking %s can be told again", booking_id)
                self._aside[booking_id] = time.monotonic() + ASIDE
        return told

    def _tell_confirmation(self, booking: BookingDocument, now: datetime) -> int:
        tellings = booking["confirmation_mail"].get("tellings", 0) + 1
        event, next_telling = domain.awaited_event(booking), now + self._pause(tellings)
        return self._bookings.tell_again(booking, event, tellings, next_telling)

    def _tell_unheard(self, booking: BookingDocument, now: datetime) -> int:
        overdue = [news for news in booking["unheard"] if news["silent_since"] <= now - self._overdue]
        return sum(
            self._bookings.tell_unheard(booking, news, now + self._pause(news["tellings"] + 1) - self._overdue)
            for news in overdue
        )

    def _pause(self, tellings: int) -> timedelta:
        """Ever longer, and from the start a day where that is what is configured."""
        return min(self._overdue * 2 ** min(tellings, 30), max(LONGEST_PAUSE, self._overdue))
