"""The back office: the one path a change of a concert takes, from the decision to everybody who must know."""

import logging
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from booking_svc import contract as booking
from concert_svc import announcements, domain, editing
from concert_svc.changes import Changes
from concert_svc.concerts import Concerts
from concert_svc.contract import CapacityBelowSold, ConcertChange, Refusal, SeatsTaken
from concert_svc.domain import Action, ConcertDocument
from concert_svc.editing import Decider
from rabbitmq.errors import Unavailable

log = logging.getLogger(__name__)

#: How often a request looks again when others change the same concert, and the seconds between two looks.
ATTEMPTS, PAUSE = 60, 0.05


class BackOffice:
    """
    Decides, writes the change down, has booking_svc sell by it, puts it in force.

    *now* is the database's, and decides first; that clock decides again in the write. Each method may raise Unavailable
    and PyMongoError: whether the change comes into force, the concert will tell; the same request again does no harm.
    """

    def __init__(
        self,
        concerts: Concerts,
        changes: Changes,
        set_sales_terms: Callable[[booking.SalesTerms], None],
        lasts: timedelta = announcements.LASTS,
        now: Callable[[], datetime] | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._concerts = concerts
        self._changes = changes
        self._set_sales_terms = set_sales_terms
        self._lasts = lasts
        self._now = now or concerts.now
        self._wait = wait

    def create(self, draft: ConcertDocument, request_id: str | None = None) -> None:
        """Add the draft."""
        self._changes.add(domain.created_entry(draft, request_id))
        self._concerts.add(draft)

    def update(
        self, organiser_id: str, concert_id: str, asked: ConcertChange, request_id: str | None = None
    ) -> ConcertDocument:
        """
        Raises:
            ConcertNotFound, WrongState, StartsTooSoon, InvalidConcert, CapacityBelowSold, SeatsTaken
        """

        def decide(concert: ConcertDocument, now: datetime) -> editing.Fields:
            return editing.update(concert, asked, now)

        return self._carry_out("changed", decide, organiser_id, concert_id, request_id)

    def publish(self, organiser_id: str, concert_id: str, request_id: str | None = None) -> ConcertDocument:
        """
        Raises:
            ConcertNotFound, WrongState, StartsTooSoon
        """
        return self._carry_out("published", editing.publish, organiser_id, concert_id, request_id)

    def cancel(self, organiser_id: str, concert_id: str, request_id: str | None = None) -> ConcertDocument:
        """
        Raises:
            ConcertNotFound, WrongState
        """
        return self._carry_out("cancelled", editing.cancel, organiser_id, concert_id, request_id)

    def delete(self, organiser_id: str, concert_id: str, request_id: str | None = None) -> None:
        """
        Raises:
            ConcertNotFound, WrongState
        """
        self._carry_out("deleted", editing.delete, organiser_id, concert_id, request_id)

    def _carry_out(
        self, action: Action, decide: Decider, organiser_id: str, concert_id: str, request_id: str | None
    ) -> ConcertDocument:
        for attempt in range(ATTEMPTS):
            if attempt:
                self._wait(PAUSE)
            concert = self._concerts.owned_by(organiser_id, concert_id)
            if concert.get("change"):
                self.carry_on(concert)
                continue
            now = self._now()
            fields = dict(decide(concert, now))
            if not fields:
                return concert
            begun = self._concerts.begin(
                concert, action, fields, organiser_id, request_id, now, secrets.token_hex(8)
            )  # fmt: skip
            if begun is not None and (done := self._complete(begun)) is not None:
                return done
        raise Unavailable("concert_svc")

    def carry_on(self, concert: ConcertDocument) -> None:
        """Carry out the change that the concert has, unless somebody is at it."""
        taken = self._concerts.take_over(concert, secrets.token_hex(8))
        if taken is not None:
            try:
                self._complete(taken)
            except Refusal as refusal:  # its request has been answered otherwise
                log.info("change %s of %s was refused: %s", taken["change"]["version"], taken["_id"], refusal)

    def _complete(self, concert: ConcertDocument) -> ConcertDocument | None:
        change = concert["change"]
        changed = domain.with_change(concert, change)
        if changed["status"] not in ("draft", "deleted"):
            self._sell_by(changed, concert)
        self._changes.add(domain.change_entry(concert, change))
        if changed["status"] == "deleted":
            self._concerts.delete(concert)
            return changed
        events = announcements.of_change(concert, changed, self._now(), self._lasts, change["request_id"])
        return self._concerts.commit(concert, events)

    def _sell_by(self, changed: ConcertDocument, concert: ConcertDocument) -> None:
        """
        Raises:
            CapacityBelowSold, SeatsTaken: the change is dropped.
            Unavailable: nobody knows; the change stays, to be carried on with.
        """
        try:
            self._set_sales_terms(domain.sales_terms(changed))
        except booking.CapacityBelowSold as refusal:
            self._concerts.drop(concert)
            raise CapacityBelowSold(*refusal.args) from refusal
        except booking.TicketsUnavailable as refusal:
            self._concerts.drop(concert)
            raise SeatsTaken(*refusal.args) from refusal
        except Exception:
            self._concerts.give_back(concert)
            raise

    def carry_on_with_all(self) -> None:
        """Carry on with what crashed half-way."""
        for concert in self._concerts.unfinished(self._now()):
            self.carry_on(concert)
