"""
Bookings and terms in memory, with a switch that makes their server unreachable. `model.py` has the inventory.

What `*_contract.py` beside this module says is checked of these and of the real ones.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import ServerSelectionTimeoutError

from booking_svc.bookings import ClaimTaken
from booking_svc.contract import BookingNotFound, ConcertNotFound, SalesClosed, SalesTerms
from booking_svc.domain import BookingDocument
from booking_svc.offer import Offer
from rabbitmq.outbox import Envelope


class FakeBookings:
    """As `booking_svc.bookings.Bookings`, as far as the box office needs it."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.unreachable = False
        self._now = now
        self._stored: dict[str, BookingDocument] = {}

    def confirm(self, draft: BookingDocument, request_id: str | None = None) -> BookingDocument:
        self._look()
        if draft["_id"] in self._stored:
            return dict(self._stored[draft["_id"]])
        if self._now() >= draft["sales_close_at"]:
            raise SalesClosed
        owners = {claim: (owner, claims) for owner, claims in self._sold(draft["concert_id"]) for claim in claims}
        for claim in sorted(draft["claims"]):  # the order in which MongoDB's index looks
            if claim in owners:
                raise ClaimTaken(*owners[claim])
        now = self._now()
        decided: dict[str, Any] = {"status": "confirmed", "confirmed_at": now}
        entry = {"status": "confirmed", "at": now, "by": draft["user_id"], "request_id": request_id}
        self._stored[draft["_id"]] = {**draft, **decided, "history": [entry]}
        return dict(self._stored[draft["_id"]])

    def find(self, booking_id: str) -> BookingDocument | None:
        self._look()
        return self._find(booking_id)

    def of_user(self, user_id: str, booking_id: str) -> BookingDocument:
        found = self.find(booking_id)
        if found is None or found["user_id"] != user_id:
            raise BookingNotFound(booking_id)
        return found

    def cancel(self, booking_id: str, sales_close_at: datetime, event: Envelope, by: str) -> BookingDocument | None:
        self._look()
        found = self._stored[booking_id]
        if found["status"] != "confirmed" or self._now() >= sales_close_at:
            return None
        now = self._now()
        entry = {"status": "cancelled", "at": now, "by": by, "request_id": event.get("request_id")}
        found |= {"status": "cancelled", "cancelled_at": now, "outbox": [*found["outbox"], event]}
        found["history"] = [*found["history"], entry]
        return dict(found)

    def sold(self, concert_id: str) -> list[tuple[str, list[str]]]:
        self._look()
        return self._sold(concert_id)

    def _find(self, booking_id: str) -> BookingDocument | None:
        found = self._stored.get(booking_id)
        return found and dict(found)

    def _sold(self, concert_id: str) -> list[tuple[str, list[str]]]:
        return [
            (booking["_id"], booking["claims"])
            for booking in self._stored.values()
            if booking["concert_id"] == concert_id and booking["status"] == "confirmed"
        ]

    def _look(self) -> None:
        if self.unreachable:
            raise ServerSelectionTimeoutError("as the test asked")


class FakeTerms:
    """As `booking_svc.terms.Terms`."""

    def __init__(self) -> None:
        self._stored: dict[str, Offer] = {}

    def set(self, terms: SalesTerms) -> Offer:
        before = self._stored.get(terms["concert_id"])
        if before is None or before.version <= terms["version"]:
            self._stored[terms["concert_id"]] = Offer(terms)
        return self._stored[terms["concert_id"]]

    def newest(self, concert_id: str) -> Offer:
        if concert_id not in self._stored:
            raise ConcertNotFound(concert_id)
        return self._stored[concert_id]

    def known(self, concert_id: str) -> Offer:
        return self.newest(concert_id)

    def at_least(self, concert_id: str, version: int) -> Offer:
        return self.newest(concert_id)
