"""The box office: the one path a purchase takes, from the hold in Redis to the booking in MongoDB and back."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from redis.exceptions import RedisError

from booking_svc import contract, domain
from booking_svc.bookings import Bookings, ClaimTaken
from booking_svc.contract import (
    AlreadyCancelled,
    HoldExpired,
    IdempotencyKeyReused,
    Item,
    NotCancellable,
    Refusal,
    SalesClosed,
)
from booking_svc.domain import BookingDocument, Purchase
from booking_svc.holds import Hold, Holds
from booking_svc.inventory import Inventory
from booking_svc.terms import Terms
from rabbitmq.errors import Unavailable

log = logging.getLogger(__name__)

#: A booking, and whether it is the answer to an earlier request.
Booked = tuple[BookingDocument, bool]

#: How often one request may find that Redis was wrong about a unit before it gives up.
ATTEMPTS = 20


class BoxOffice:
    """Joins the inventory and the bookings. *now* is the service's clock; it dates events and decides nothing."""

    def __init__(
        self,
        inventory: Inventory,
        holds: Holds,
        bookings: Bookings,
        terms: Terms,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._inventory = inventory
        self._holds = holds
        self._bookings = bookings
        self._terms = terms
        self._now = now

    # --- holds

    def hold(self, user_id: str, idempotency_key: str, concert_id: str, items: Sequence[Item]) -> contract.Hold:
        """
        Keep the tickets for a while. The same key is the same hold while it lasts.

        Raises:
            IdempotencyKeyReused, ConcertNotFound, UnknownTicketType, UnknownSeat, SoldOut, TicketsUnavailable,
            LimitReached, NotOnSaleYet, SalesClosed, ConcertCancelled
        """
        hold_id = domain.hold_id(user_id, idempotency_key, concert_id)
        request = self._inventory.request(user_id, concert_id, items)
        return self._as_seen(hold_id, concert_id, lambda holds: holds.place(concert_id, hold_id, request))

    def find_hold(self, user_id: str, hold_id: str) -> contract.Hold:
        """
        Raises:
            HoldNotFound, HoldExpired
        """
        concert_id = domain.concert_of_hold(user_id, hold_id)
        return self._as_seen(hold_id, concert_id, lambda holds: holds.find(concert_id, hold_id, user_id))

    def extend_hold(self, user_id: str, hold_id: str) -> contract.Hold:
        """
        Raises:
            HoldNotFound, HoldExpired, RequestInProgress, SalesClosed, ConcertCancelled
        """
        concert_id = domain.concert_of_hold(user_id, hold_id)
        return self._as_seen(hold_id, concert_id, lambda holds: holds.extend(concert_id, hold_id, user_id))

    def release_hold(self, user_id: str, hold_id: str) -> None:
        """
        Raises:
            HoldNotFound, RequestInProgress
        """
        concert_id = domain.concert_of_hold(user_id, hold_id)
        self._inventory.ask(concert_id, lambda holds: holds.release_hold(concert_id, hold_id, user_id))

    def _as_seen(self, hold_id: str, concert_id: str, ask: Callable[[Holds], Hold]) -> contract.Hold:
        hold = self._inventory.ask(concert_id, ask)
        offer = self._terms.at_least(concert_id, hold.version)
        return domain.hold_as_seen(hold_id, hold.items, hold.taken, hold.prices, hold.expires_at, offer)

    # --- bookings

    def book(
        self,
        user_id: str,
        idempotency_key: str,
        concert_id: str,
        items: Sequence[Item],
        request_id: str | None = None,
        resumed: bool = False,
    ) -> Booked:
        """
        Hold the tickets, write the booking, mark them sold. *resumed* takes over from a process that died over it.

        Returns:
            the booking, and whether it is the answer to an earlier request with the same key.

        Raises:
            IdempotencyKeyReused, RequestInProgress, ConcertNotFound, UnknownTicketType, UnknownSeat, SoldOut,
            TicketsUnavailable, LimitReached, NotOnSaleYet, SalesClosed, ConcertCancelled: nothing was booked.
            Unavailable, RedisError, PyMongoError: whether it was booked, the same key will tell.
        """
        purchase = Purchase(user_id, idempotency_key, domain.fingerprint(concert_id, items), request_id)

        def write() -> Booked:
            request = self._inventory.request(user_id, concert_id, items)
            for _ in range(ATTEMPTS):
                hold = self._inventory.ask(
                    concert_id,
                    lambda holds: holds.place_for_booking(concert_id, purchase.booking_id, request, resumed),
                )
                try:
                    return self._write(purchase, concert_id, hold)
                except ClaimTaken:  # Redis was wrong about a unit, and knows better now
                    continue
            raise Unavailable("booking_svc")

        return self._once(purchase, write)

    def book_hold(
        self,
        user_id: str,
        idempotency_key: str,
        hold_id: str,
        request_id: str | None = None,
        resumed: bool = False,
    ) -> Booked:
        """
        Write the booking of what the user holds, mark it sold.

        Raises:
            IdempotencyKeyReused, RequestInProgress, HoldNotFound, HoldExpired, SalesClosed, ConcertCancelled:
                nothing was booked.
            Unavailable, RedisError, PyMongoError: whether it was booked, the same key will tell.
        """
        concert_id = domain.concert_of_hold(user_id, hold_id)
        purchase = Purchase(user_id, idempotency_key, domain.fingerprint(hold_id), request_id, hold_id)

        def write() -> Booked:
            hold = self._inventory.ask(
                concert_id,
                lambda holds: holds.begin_booking(concert_id, hold_id, user_id, purchase.booking_id, resumed),
            )
            try:
                return self._write(purchase, concert_id, hold)
            except ClaimTaken as taken:  # Redis had lost what was sold, and with it what was held
                raise HoldExpired from taken

        return self._once(purchase, write)

    def _once(self, purchase: Purchase, write: Callable[[], Booked]) -> Booked:
        """What *write* returns, unless the purchase is booked already, or is by another process in this moment."""
        earlier = self._bookings.find(purchase.booking_id)
        if earlier is None:
            try:
                return write()
            except Refusal:
                earlier = self._bookings.find(purchase.booking_id)
                if earlier is None:
                    raise
        return _replay(earlier, purchase)

    def _write(self, purchase: Purchase, concert_id: str, hold: Hold) -> Booked:
        """
        Write the booking of what is held for it, and tell Redis what became of it.

        Raises:
            SalesClosed, ClaimTaken: it was not written; the hold is released.
        """
        offer = self._terms.at_least(concert_id, hold.version)
        draft = domain.draft(purchase, hold.items, hold.taken, hold.prices, offer, self._now())
        try:
            stored = self._bookings.confirm(draft, purchase.request_id)
        except SalesClosed:
            self._holds.release(concert_id, purchase.booking_id, hold.taken, purchase.hold_id)
            raise
        except ClaimTaken as taken:
            log.warning("MongoDB had sold a claim of %s that Redis thought free", concert_id)
            if taken.owner is not None:
                self._inventory.tell_sold(concert_id, taken.owner, offer.taken_by(taken.claims))
            self._holds.release(concert_id, purchase.booking_id, hold.taken, purchase.hold_id)
            raise
        replayed = stored["tickets"] != draft["tickets"]  # another request with this key was faster
        kept = stored["claims"] if stored["status"] == "confirmed" else []
        spare = [claim for claim in draft["claims"] if claim not in kept]
        try:
            if spare:
                self._holds.release(concert_id, stored["_id"], offer.taken_by(spare), purchase.hold_id)
            elif not self._holds.settle(concert_id, stored["_id"], purchase.hold_id):
                self._inventory.tell_sold(concert_id, stored["_id"], hold.taken)
        except RedisError as error:  # the booking stands; when its hold ends, MongoDB is asked
            log.warning("booking %s is written, its hold is left to expire: %s", stored["_id"], error)
        return _replay(stored, purchase) if replayed else (stored, False)

    def cancel(self, user_id: str, booking_id: str, request_id: str | None = None) -> BookingDocument:
        """
        Give the tickets of the user's own booking back.

        Raises:
            BookingNotFound, AlreadyCancelled, NotCancellable
        """
        booking = self._bookings.of_user(user_id, booking_id)
        closes = self._terms.newest(booking["concert_id"]).closes
        event = domain.cancelled_event(booking, self._now(), request_id)
        cancelled = self._bookings.cancel(booking_id, closes, event, by=user_id)
        if cancelled is None:
            again = self._bookings.of_user(user_id, booking_id)
            raise AlreadyCancelled(booking_id) if again["status"] == "cancelled" else NotCancellable(booking_id)
        try:
            self.release(cancelled["concert_id"], booking_id, cancelled["claims"])
        except RedisError as error:  # the event in the outbox does it later
            log.warning("tickets of %s are released by the event: %s", booking_id, error)
        return cancelled

    def release(self, concert_id: str, booking_id: str, claims: Sequence[str]) -> None:
        """Free what is still the booking's; repeating it changes nothing."""
        self._holds.release(concert_id, booking_id, self._terms.newest(concert_id).taken_by(claims))


def _replay(booking: BookingDocument, purchase: Purchase) -> Booked:
    if booking["fingerprint"] != purchase.fingerprint:
        raise IdempotencyKeyReused
    return booking, True
