"""The box office: the one path a purchase takes, from the hold in Redis to the booking in MongoDB and back."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pymongo.errors import PyMongoError
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
from booking_svc.domain import BookingDocument, Hold, HoldKey, Purchase
from booking_svc.holds import Holds
from booking_svc.inventory import Inventory
from booking_svc.offer import Offer
from booking_svc.terms import Terms
from rabbitmq.errors import Unavailable

log = logging.getLogger(__name__)

#: A booking, and whether it is the answer to an earlier request.
Booked = tuple[BookingDocument, bool]

#: How often one request may find that Redis was wrong about a unit before it gives up, and before all is counted.
ATTEMPTS, COUNTED_AFTER = 20, 3


class BoxOffice:
    """
    Joins the inventory and the bookings. *now* is the service's clock; it dates events and decides nothing.

    Beside the refusals named, each method may raise Unavailable, RedisError and PyMongoError: a server did not answer.
    Whether a booking was made, the same key will tell.
    """

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
        nonce = domain.hold_nonce(user_id, idempotency_key)
        request = self._inventory.hold_request(user_id, concert_id, items)
        hold = self._inventory.ask(concert_id, lambda holds: holds.place(concert_id, nonce, request))
        return self._as_seen(HoldKey(concert_id, nonce, hold.born), hold)

    def find_hold(self, user_id: str, hold_id: str) -> contract.Hold:
        """
        Raises:
            HoldNotFound, HoldExpired, ConcertNotFound
        """
        key = domain.read_hold_id(user_id, hold_id)
        return self._as_seen(key, self._inventory.ask(key.concert_id, lambda holds: holds.find(key, user_id)))

    def extend_hold(self, user_id: str, hold_id: str) -> contract.Hold:
        """
        Raises:
            HoldNotFound, HoldExpired, RequestInProgress, ConcertNotFound, NotOnSaleYet, SalesClosed, ConcertCancelled
        """
        key = domain.read_hold_id(user_id, hold_id)
        return self._as_seen(key, self._inventory.ask(key.concert_id, lambda holds: holds.extend(key, user_id)))

    def release_hold(self, user_id: str, hold_id: str) -> None:
        """
        Raises:
            HoldNotFound, RequestInProgress, ConcertNotFound
        """
        key = domain.read_hold_id(user_id, hold_id)
        self._inventory.ask(key.concert_id, lambda holds: holds.release_hold(key, user_id))

    def _as_seen(self, key: HoldKey, hold: Hold) -> contract.Hold:
        return domain.hold_as_seen(key, hold, self._terms.at_least(key.concert_id, hold.version))

    # --- bookings

    def book(
        self,
        user_id: str,
        idempotency_key: str,
        concert_id: str,
        items: Sequence[Item],
        request_id: str | None = None,
        redelivered: bool = False,
    ) -> Booked:
        """
        Hold the tickets, write the booking, mark them sold. See `Holds.place_for_booking` for *redelivered*.

        Returns:
            the booking, and whether it is the answer to an earlier request with the same key.

        Raises:
            IdempotencyKeyReused, RequestInProgress, ConcertNotFound, UnknownTicketType, UnknownSeat, SoldOut,
            TicketsUnavailable, LimitReached, NotOnSaleYet, SalesClosed, ConcertCancelled: nothing was booked.
        """
        purchase = Purchase(user_id, idempotency_key, domain.fingerprint(concert_id, items), request_id)

        def book_items() -> Booked:
            request = self._inventory.hold_request(user_id, concert_id, items)
            for attempt in range(ATTEMPTS):
                if attempt == COUNTED_AFTER:
                    self._inventory.recount(concert_id)
                hold = self._inventory.ask(
                    concert_id,
                    lambda holds: holds.place_for_booking(concert_id, purchase.booking_id, request, redelivered),
                )
                try:
                    return self._book_held(purchase, concert_id, hold)
                except ClaimTaken:  # Redis was wrong about a unit, and knows better now
                    continue
            raise Unavailable("booking_svc")

        return self._earlier(purchase) or self._unless_booked(purchase, book_items)

    def book_hold(
        self,
        user_id: str,
        idempotency_key: str,
        hold_id: str,
        request_id: str | None = None,
        redelivered: bool = False,
    ) -> Booked:
        """
        Write the booking of what the user holds, mark it sold.

        Raises:
            IdempotencyKeyReused, RequestInProgress, HoldNotFound, HoldExpired, ConcertNotFound, NotOnSaleYet,
            SalesClosed, ConcertCancelled: nothing was booked.
        """
        purchase = Purchase(user_id, idempotency_key, domain.fingerprint(hold_id), request_id, hold_id)

        def book_hold() -> Booked:
            key = domain.read_hold_id(user_id, hold_id)
            hold = self._inventory.ask(
                key.concert_id, lambda holds: holds.begin_booking(key, user_id, purchase.booking_id, redelivered)
            )
            try:
                return self._book_held(purchase, key.concert_id, hold)
            except ClaimTaken as taken:  # Redis had lost what was sold, and with it what was held
                raise HoldExpired from taken

        return self._earlier(purchase) or self._unless_booked(purchase, book_hold)

    def _earlier(self, purchase: Purchase) -> Booked | None:
        """The answer to an earlier request with the same key."""
        earlier = self._bookings.find(purchase.booking_id)
        return None if earlier is None else _replay(earlier, purchase)

    def _unless_booked(self, purchase: Purchase, book: Callable[[], Booked]) -> Booked:
        """What *book* returns; if it refuses, the same request may have been faster elsewhere, and taken the last."""
        try:
            return book()
        except Refusal:
            if earlier := self._earlier(purchase):
                return earlier
            raise

    def _book_held(self, purchase: Purchase, concert_id: str, hold: Hold) -> Booked:
        """
        Write the booking of what is held for it, and tell Redis what became of it.

        Raises:
            SalesClosed, ClaimTaken: it was not written; the hold is released.
            IdempotencyKeyReused: it was written before, by another request.
        """
        offer = self._terms.at_least(concert_id, hold.version)
        draft = domain.draft(purchase, hold, offer, self._now())
        try:
            stored = self._bookings.confirm(draft, purchase.request_id)
        except SalesClosed:
            self._holds.release(concert_id, purchase.booking_id, hold.taken, hold.mark)
            raise
        except ClaimTaken as taken:
            log.warning("MongoDB had sold a claim of %s that Redis thought free", concert_id)
            if taken.owner is not None:
                self._inventory.tell_sold(concert_id, taken.owner, offer.taken_by(taken.claims))
            self._holds.release(concert_id, purchase.booking_id, hold.taken, hold.mark)
            raise
        try:
            if purchase.hold_id is None or stored["hold_id"] == purchase.hold_id:
                self._settle(hold, draft, stored, offer)
            # else the key was used for something else meanwhile: the hold is in doubt, and then its buyer's again
        except (RedisError, PyMongoError) as error:  # the booking stands; when its hold is in doubt, MongoDB is asked
            log.warning("booking %s is written, its hold is left in doubt: %s", stored["_id"], error)
        return (stored, False) if stored["tickets"] == draft["tickets"] else _replay(stored, purchase)

    def _settle(self, hold: Hold, draft: BookingDocument, stored: BookingDocument, offer: Offer) -> None:
        """What the booking owns is sold; what was held beside it, if the same request was faster elsewhere, is free."""
        if stored["status"] != "confirmed" or stored["concert_id"] != offer.concert_id:
            self._holds.release(offer.concert_id, stored["_id"], hold.taken, hold.mark)
            return
        is_what_was_held = set(stored["claims"]) == set(draft["claims"])
        if not (is_what_was_held and self._holds.settle(offer.concert_id, stored["_id"], hold.mark)):
            self._inventory.tell_sold(offer.concert_id, stored["_id"], offer.taken_by(stored["claims"]), hold.mark)

    def cancel(
        self, user_id: str, booking_id: str, request_id: str | None = None, redelivered: bool = False
    ) -> BookingDocument:
        """
        Give the tickets of the user's own booking back.

        *redelivered*: another process may have done it for this very request, and died before its answer.

        Raises:
            BookingNotFound, AlreadyCancelled, NotCancellable
        """
        booking = self._bookings.of_user(user_id, booking_id)
        closes = self._terms.newest(booking["concert_id"]).closes
        event = domain.cancelled_event(booking, self._now(), request_id)
        cancelled = self._bookings.cancel(booking_id, closes, event, by=user_id)
        if cancelled is None:
            cancelled = self._bookings.of_user(user_id, booking_id)
            if cancelled["status"] != "cancelled":
                raise NotCancellable(booking_id)
            if not redelivered or request_id is None or cancelled["history"][-1]["request_id"] != request_id:
                raise AlreadyCancelled(booking_id)
        try:
            self.release(cancelled["concert_id"], booking_id, cancelled["claims"], cancelled["hold_id"])
        except (RedisError, PyMongoError) as error:  # the event in the outbox does it later
            log.warning("tickets of %s are released by the event: %s", booking_id, error)
        return cancelled

    def resend_confirmation(self, user_id: str, booking_id: str, request_id: str | None = None) -> BookingDocument:
        """
        Have the confirmation of the user's own booking sent again, unless it is on its way.

        Raises:
            BookingNotFound, AlreadyCancelled, ResentTooOften
        """
        while True:
            booking = self._bookings.of_user(user_id, booking_id)
            if booking["status"] == "cancelled":
                raise AlreadyCancelled(booking_id)
            if booking["confirmation_mail"]["state"] == "queued":
                return booking
            closes = self._terms.newest(booking["concert_id"]).closes
            mail, event = domain.resend_confirmation(booking, closes, self._now(), request_id)
            requested = self._bookings.request_confirmation(booking, mail, event)
            if requested is not None:
                return requested

    def release(self, concert_id: str, booking_id: str, claims: Sequence[str], hold_id: str | None) -> None:
        """Free what is still the booking's, and end the hold it was made of; repeating it changes nothing."""
        mark = None if hold_id is None else domain.mark_of_hold(hold_id)
        self._holds.release(concert_id, booking_id, self._terms.newest(concert_id).taken_by(claims), mark)


def _replay(booking: BookingDocument, purchase: Purchase) -> Booked:
    if booking["fingerprint"] != purchase.fingerprint:
        raise IdempotencyKeyReused
    return booking, True
