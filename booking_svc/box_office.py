"""The box office: the one path a purchase takes, from the hold in Redis to the booking in MongoDB and back."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from redis.exceptions import RedisError

from booking_svc import domain
from booking_svc.bookings import Bookings, ClaimTaken
from booking_svc.contract import (
    AlreadyCancelled,
    Availability,
    IdempotencyKeyReused,
    Item,
    NotCancellable,
    SalesClosed,
    SalesTerms,
)
from booking_svc.domain import BookingDocument
from booking_svc.holds import LOADING, Hold, Holds, NotLoaded
from booking_svc.terms import Terms
from rabbitmq.errors import Unavailable
from rabbitmq.times import from_wire

log = logging.getLogger(__name__)
T = TypeVar("T")

#: How often one request may find that Redis was wrong about a unit before it gives up.
ATTEMPTS = 20


class BoxOffice:
    """Joins holds, bookings and terms. *now* is the service's clock; it dates events and decides nothing."""

    def __init__(
        self,
        holds: Holds,
        bookings: Bookings,
        terms: Terms,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._holds = holds
        self._bookings = bookings
        self._terms = terms
        self._now = now

    def set_terms(self, terms: SalesTerms) -> None:
        """Sell by *terms* from now on, unless newer ones are in force."""
        in_force = self._terms.set(terms)
        self._holds.load(in_force, self._bookings.sold(terms["concert_id"]))

    def book(
        self,
        user_id: str,
        idempotency_key: str,
        concert_id: str,
        items: Sequence[Item],
        request_id: str | None = None,
    ) -> tuple[BookingDocument, bool]:
        """
        Hold the tickets, write the booking, mark them sold.

        Returns:
            the booking, and whether it is the answer to an earlier request with the same key.

        Raises:
            IdempotencyKeyReused, RequestInProgress, ConcertNotFound, UnknownTicketType, SoldOut, LimitReached,
            NotOnSaleYet, SalesClosed, ConcertCancelled: nothing was booked.
            Unavailable, RedisError, PyMongoError: whether it was booked, the same key will tell.
        """
        booking_id = domain.booking_id(user_id, idempotency_key)
        earlier = self._bookings.find(booking_id)
        if earlier is not None:
            return _replay(earlier, concert_id, items)
        for _ in range(ATTEMPTS):
            hold, terms = self._place(concert_id, booking_id, user_id, items)
            draft = domain.draft(
                booking_id=booking_id, user_id=user_id, idempotency_key=idempotency_key, items=items,
                claims=hold.claims, terms=terms, now=self._now(), request_id=request_id,
            )  # fmt: skip
            try:
                stored = self._bookings.confirm(draft, from_wire(terms["sales_close_at"]))
            except SalesClosed:
                self._holds.release(concert_id, booking_id, hold.claims)
                raise
            except ClaimTaken as taken:
                log.warning("MongoDB had sold a claim of %s that Redis thought free", concert_id)
                if taken.owner is not None:
                    self._holds.mark_sold(concert_id, taken.owner, taken.claims)
                self._holds.release(concert_id, booking_id, hold.claims)
                continue
            return self._settle(stored, draft, concert_id, items)
        raise Unavailable("booking_svc")

    def cancel(self, user_id: str, booking_id: str, request_id: str | None = None) -> BookingDocument:
        """
        Give the tickets of the user's own booking back.

        Raises:
            BookingNotFound, AlreadyCancelled, NotCancellable
        """
        booking = self._bookings.of_user(user_id, booking_id)
        closes = from_wire(self._terms.newest(booking["concert_id"])["sales_close_at"])
        event = domain.cancelled_event(booking, self._now(), request_id)
        cancelled = self._bookings.cancel(booking_id, closes, event)
        if cancelled is None:
            again = self._bookings.of_user(user_id, booking_id)
            raise AlreadyCancelled(booking_id) if again["status"] == "cancelled" else NotCancellable(booking_id)
        try:
            self.release(cancelled["concert_id"], booking_id, cancelled["claims"])
        except RedisError as error:  # the event in the outbox does it later
            log.warning("tickets of %s are released by the event: %s", booking_id, error)
        return cancelled

    def release(self, concert_id: str, owner: str, claims: Sequence[str]) -> None:
        """Free what is still the owner's; repeating it changes nothing."""
        self._holds.release(concert_id, owner, claims)

    def availability(self, concert_id: str) -> Availability:
        """
        Raises:
            ConcertNotFound
        """
        return self._of_loaded(concert_id, lambda: self._holds.availability(concert_id))

    def _place(self, concert_id: str, owner: str, buyer: str, items: Sequence[Item]) -> tuple[Hold, SalesTerms]:
        wanted = domain.quantities(items)
        hold = self._of_loaded(concert_id, lambda: self._holds.place(concert_id, owner, buyer, wanted))
        return hold, self._terms.at_least(concert_id, hold.version)

    def _of_loaded(self, concert_id: str, ask: Callable[[], T]) -> T:
        """What *ask* answers once Redis knows the concert, which it may forget again before it is asked."""
        for _ in range(ATTEMPTS):
            try:
                return ask()
            except NotLoaded:
                self._load(concert_id)
        raise Unavailable("booking_svc")

    def _load(self, concert_id: str) -> None:
        """Bring a concert that Redis does not know from MongoDB, once however many ask."""
        self._terms.newest(concert_id)  # who asks for a concert that is not there need not stand in line
        deadline = time.monotonic() + LOADING
        while time.monotonic() < deadline:
            if self._holds.begin_loading(concert_id):
                try:
                    self._holds.load(self._terms.newest(concert_id), self._bookings.sold(concert_id))
                finally:
                    self._holds.end_loading(concert_id)
                return
            time.sleep(0.02)
            if self._holds.is_loaded(concert_id):
                return
        raise Unavailable("booking_svc")

    def _settle(
        self, stored: BookingDocument, draft: BookingDocument, concert_id: str, items: Sequence[Item]
    ) -> tuple[BookingDocument, bool]:
        replayed = stored["tickets"] != draft["tickets"]
        try:
            if replayed:  # another request with this key was faster; what its booking has not is free again
                kept = stored["claims"] if stored["status"] == "confirmed" else []
                spare = [claim for claim in draft["claims"] if claim not in kept]
                self._holds.release(concert_id, stored["_id"], spare)  # and with it ends the hold
            else:
                self._holds.settle(concert_id, stored["_id"])
        except RedisError as error:  # the booking stands; the hold expires and MongoDB tells the next one
            log.warning("booking %s is written, its hold is left to expire: %s", stored["_id"], error)
        return _replay(stored, concert_id, items) if replayed else (stored, False)


def _replay(booking: BookingDocument, concert_id: str, items: Sequence[Item]) -> tuple[BookingDocument, bool]:
    if booking["fingerprint"] != domain.fingerprint(concert_id, items):
        raise IdempotencyKeyReused
    return booking, True
