"""
Closing: saves that a concert's sales have closed, and that it is over.

Booking stops by itself at that moment; this is for those who read the concert. A message is a hint that is checked
against the concert, whether it comes late, early, twice or not at all.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from concert_svc import announcements
from concert_svc.concerts import Concerts
from concert_svc.domain import ConcertDocument
from rabbitmq.outbox import Envelope

log = logging.getLogger(__name__)

#: Seconds: the broker delivers a hint up to one second early.
EARLIEST = 2
CLOCK_MARGIN = 0.01


class NotYet(Exception):
    """A hint came before its moment by the database's clock, or in the middle of a change; it comes again."""


class Closing:
    """Moves concerts on when their moments come, *now* being the database's. *wait* waits for so many seconds."""

    def __init__(
        self,
        concerts: Concerts,
        lasts: timedelta = announcements.LASTS,
        now: Callable[[], datetime] | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._concerts = concerts
        self._lasts = lasts
        self._now = now or concerts.now
        self._wait = wait

    def close(self, concert_id: str, schedule_version: int) -> None:
        """
        Save `closed` when sales close, if that is still when *schedule_version* said.

        Raises:
            NotYet
        """
        concert = self._meant(concert_id, schedule_version, "published")
        if concert is None:
            return
        if self._is_early(concert, concert["sales_close_at"]):
            self._tell_again(concert, announcements.starting(concert, self._now()))
        elif not self._concerts.close(concert_id, schedule_version):
            self._check_stale(concert_id, schedule_version, "published")

    def finish(self, concert_id: str, schedule_version: int) -> None:
        """
        Save `finished` when the concert is over, if that is still when *schedule_version* said.

        Raises:
            NotYet
        """
        self._concerts.close(concert_id, schedule_version)  # its own hint may be lost, or on its way
        concert = self._meant(concert_id, schedule_version, "published", "closed")
        if concert is None:
            return
        if self._is_early(concert, concert["starts_at"] + self._lasts):
            self._tell_again(concert, announcements.finished(concert, self._now(), self._lasts))
        elif not self._concerts.finish(concert_id, schedule_version, self._lasts.total_seconds()):
            self._check_stale(concert_id, schedule_version, "published", "closed")

    def catch_up(self) -> None:
        """Move on what lost hints left behind."""
        now = self._now()
        for concert_id, version in self._concerts.overdue(now):
            self._concerts.close(concert_id, version)
        for concert_id, version in self._concerts.over(now - self._lasts):
            self._concerts.finish(concert_id, version, self._lasts.total_seconds())

    def _meant(self, concert_id: str, schedule_version: int, *states: str) -> ConcertDocument | None:
        """The concert that a hint means; None when the hint is stale."""
        concert = self._concerts.find(concert_id)
        if concert is None or concert["schedule_version"] != schedule_version or concert["status"] not in states:
            log.info("dropped a stale hint for version %s of %s", schedule_version, concert_id)
            return None
        return concert

    def _is_early(self, concert: ConcertDocument, moment: datetime) -> bool:
        """Waits for the moment if it is near."""
        early = (moment - self._now()).total_seconds()
        if early <= EARLIEST:
            self._wait(max(early, 0) + CLOCK_MARGIN)
        return early > EARLIEST

    def _tell_again(self, concert: ConcertDocument, event: Envelope) -> None:
        """The longest delay there is ends after 8.5 years; and clocks are set."""
        self._concerts.tell(concert["_id"], concert["schedule_version"], event)

    def _check_stale(self, concert_id: str, schedule_version: int, *states: str) -> None:
        if self._meant(concert_id, schedule_version, *states) is not None:
            raise NotYet(concert_id)
