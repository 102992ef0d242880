"""The inventory: what is left of each concert. Asks Redis, and sees to what that needs before it can answer."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from booking_svc import domain
from booking_svc.bookings import Bookings
from booking_svc.contract import (
    Availability,
    Item,
    SalesTerms,
    SeatedType,
    SeatMap,
    TicketsUnavailable,
    UnknownSeat,
    UnknownTicketType,
)
from booking_svc.holds import HoldRequest, Holds, SeatStates
from booking_svc.offer import Offer, Taken
from booking_svc.scripts import CountDue, Doubt, InDoubt, NotLoaded, SeatsTaken
from booking_svc.stocktake import Stocktake
from booking_svc.terms import Terms
from rabbitmq.errors import Unavailable

T = TypeVar("T")
#: Seconds somebody waits for Redis to be made ready to answer.
PATIENCE = 3.0


class Inventory:
    """What is left of each concert; it is counted, or MongoDB asked, when Redis cannot answer."""

    def __init__(self, holds: Holds, bookings: Bookings, terms: Terms, stocktake: Stocktake) -> None:
        self._holds = holds
        self._bookings = bookings
        self._terms = terms
        self._stocktake = stocktake

    def set_terms(self, terms: SalesTerms) -> None:
        """
        Sell by *terms* from now on, unless newer ones are in force.

        Raises:
            Unavailable, RedisError, PyMongoError: they may not be in force yet; set them again.
        """
        self._terms.set(terms)
        self._stocktake.count(terms["concert_id"], time.monotonic() + PATIENCE, again=True)

    def hold_request(self, user_id: str, concert_id: str, items: Sequence[Item]) -> HoldRequest:
        """
        What *items* ask of Redis.

        Raises:
            ConcertNotFound, UnknownTicketType, UnknownSeat
        """
        try:
            wanted = self._terms.known(concert_id).wanted(items)
        except (UnknownTicketType, UnknownSeat):  # another process may have set newer terms
            wanted = self._terms.newest(concert_id).wanted(items)
        return HoldRequest(user_id, items, wanted, domain.fingerprint(concert_id, items))

    def ask(self, concert_id: str, question: Callable[[Holds], T]) -> T:
        """
        What Redis answers once it has the concert, which it may lose again before it is asked.

        Raises:
            ConcertNotFound, TicketsUnavailable, Unavailable, and what the question raises.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                return question(self._holds)
            except (NotLoaded, CountDue):
                self._stocktake.count(concert_id, deadline)
            except InDoubt as found:
                self._resolve(concert_id, found.doubts)
            except SeatsTaken as taken:
                offer = self._terms.known(concert_id)
                raise TicketsUnavailable(*map(offer.seat_of, taken.units)) from taken
        raise Unavailable("booking_svc")

    def availability(self, concert_id: str) -> Availability:
        """
        Raises:
            ConcertNotFound, and what `ask` raises.
        """
        return self.ask(concert_id, lambda holds: holds.availability(concert_id))

    def seats(self, concert_id: str, known: str | None) -> SeatMap:
        """
        Raises:
            ConcertNotFound, and what `ask` raises.
        """
        offer = self._terms.known(concert_id)
        found = self._ask_seats(offer, known)
        if found.version > offer.version:  # another process has set newer terms
            offer = self._terms.at_least(concert_id, found.version)
            found = self._ask_seats(offer, known)
        if found.letters is None:
            return SeatMap(tag=found.tag, ticket_types=None)
        types = [
            SeatedType(code=code, seating=offer.types[code]["seating"], states=states)
            for code, states in found.letters.items()
        ]
        return SeatMap(tag=found.tag, ticket_types=types)

    def _ask_seats(self, offer: Offer, known: str | None) -> SeatStates:
        sizes = {code: plan.size for code, plan in offer.plans.items()}
        return self.ask(offer.concert_id, lambda holds: holds.seats(offer.concert_id, sizes, known))

    def tell_sold(self, concert_id: str, booking_id: str, taken: Taken, hold_mark: str | None = None) -> None:
        """Redis is to know what MongoDB says the booking owns, unless the booking is cancelled in this moment."""
        if self._is_confirmed(booking_id):
            self._holds.mark_sold(concert_id, booking_id, taken, hold_mark)
            if self._is_confirmed(booking_id):
                return
        self._holds.release(concert_id, booking_id, taken, hold_mark)  # its own release may have come before our mark

    def _is_confirmed(self, booking_id: str) -> bool:
        booking = self._bookings.find(booking_id)
        return booking is not None and booking["status"] == "confirmed"

    def recount(self, concert_id: str) -> None:
        """
        Redis was wrong again and again: count, whatever was counted before.

        Raises:
            Unavailable: it is not counted yet.
        """
        self._stocktake.count(concert_id, time.monotonic() + PATIENCE)

    def _resolve(self, concert_id: str, doubts: Sequence[Doubt]) -> None:
        offer = self._terms.newest(concert_id)
        for mark, booking_id, taken, of_hold in doubts:
            booking = self._bookings.find(booking_id)
            if booking is None or not domain.is_made_of(booking, concert_id, of_hold):
                self._holds.abandon(concert_id, booking_id, mark)
            elif booking["status"] == "confirmed":
                self.tell_sold(concert_id, booking_id, offer.taken_by(booking["claims"]), mark)
            else:
                self._holds.release(concert_id, booking_id, taken, mark)
