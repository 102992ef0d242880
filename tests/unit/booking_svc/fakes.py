"""
Holds, bookings and terms in memory, with a switch that makes their server unreachable.

What `*_contract.py` beside this module says is checked of these and of the real ones.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import ServerSelectionTimeoutError
from redis.exceptions import ConnectionError as RedisUnreachable

from booking_svc.bookings import SETTLED, ClaimTaken
from booking_svc.contract import (
    Availability,
    BookingNotFound,
    ConcertCancelled,
    ConcertNotFound,
    LimitReached,
    NotOnSaleYet,
    RequestInProgress,
    SalesClosed,
    SalesTerms,
    SoldOut,
    UnknownTicketType,
)
from booking_svc.domain import BookingDocument, ticket_types_claimed
from booking_svc.holds import WRITING, Hold, NotLoaded, Sold
from rabbitmq.outbox import Envelope
from rabbitmq.times import from_wire


class FakeHolds:
    """As `booking_svc.holds.Holds`."""

    def __init__(self) -> None:
        self.unreachable = False
        self.loads = 0
        self._terms: dict[str, SalesTerms] = {}
        self._owners: dict[tuple[str, str], str] = {}  # (concert, claim) -> owner
        self._held: dict[tuple[str, str], tuple[float, list[str]]] = {}  # (concert, owner) -> until, claims
        self._loading: set[str] = set()

    def forget(self, concert_id: str) -> None:
        """What happens to a concert when Redis is emptied."""
        self._terms.pop(concert_id, None)
        self._owners = {key: owner for key, owner in self._owners.items() if key[0] != concert_id}
        self._held = {key: hold for key, hold in self._held.items() if key[0] != concert_id}

    def place(self, concert_id: str, owner: str, buyer: str, quantities: dict[str, int], life: int = WRITING) -> Hold:
        self._look(concert_id)
        if concert_id not in self._terms:
            raise NotLoaded(concert_id)
        terms, now = self._terms[concert_id], datetime.now(UTC)
        if terms["status"] == "cancelled":
            raise ConcertCancelled
        if now >= from_wire(terms["sales_close_at"]):
            raise SalesClosed
        if terms["sales_open_at"] is not None and now < from_wire(terms["sales_open_at"]):
            raise NotOnSaleYet
        if (concert_id, owner) in self._held:
            raise RequestInProgress
        capacities = {t["code"]: t["capacity"] for t in terms["ticket_types"]}
        for code, quantity in quantities.items():
            if code not in capacities:
                raise UnknownTicketType
            if self._taken(concert_id, code) + quantity > capacities[code]:
                raise SoldOut
        slots = [f"buyer:{buyer}:{slot}" for slot in range(1, terms["max_tickets_per_user"] + 1)]
        claims = self._free(concert_id, slots)[: sum(quantities.values())]
        if len(claims) < sum(quantities.values()):
            raise LimitReached
        for code, quantity in quantities.items():
            units = [f"unit:{code}:{number}" for number in range(1, capacities[code] + 1)]
            claims += self._free(concert_id, units)[:quantity]
        self._give(concert_id, owner, claims)
        self._held[concert_id, owner] = time.monotonic() + life / 1000, claims
        return Hold(terms["version"], claims)

    def settle(self, concert_id: str, owner: str) -> bool:
        self._look(concert_id)
        return self._held.pop((concert_id, owner), None) is not None

    def release(self, concert_id: str, owner: str, claims: Sequence[str]) -> None:
        self._look(concert_id)
        self._held.pop((concert_id, owner), None)
        self._take_back(concert_id, owner, claims)

    def mark_sold(self, concert_id: str, owner: str, claims: Sequence[str]) -> None:
        self._look(concert_id)
        self._give(concert_id, owner, claims)

    def load(self, terms: SalesTerms, sold: Sold) -> None:
        concert_id = terms["concert_id"]
        self._look(concert_id)
        self.loads += 1
        if concert_id in self._terms and self._terms[concert_id]["version"] > terms["version"]:
            return
        self._terms[concert_id] = terms
        self._owners = {key: owner for key, owner in self._owners.items() if key[0] != concert_id}
        for (concert, owner), (_, claims) in self._held.items():
            if concert == concert_id:
                self._give(concert_id, owner, claims)
        for owner, claims in sold:
            self._give(concert_id, owner, claims)

    def begin_loading(self, concert_id: str) -> bool:
        self._look(concert_id)
        begun = concert_id not in self._loading
        self._loading.add(concert_id)
        return begun

    def end_loading(self, concert_id: str) -> None:
        self._loading.discard(concert_id)

    def is_loaded(self, concert_id: str) -> bool:
        self._look(concert_id)
        return concert_id in self._terms

    def availability(self, concert_id: str) -> Availability:
        self._look(concert_id)
        if concert_id not in self._terms:
            raise NotLoaded(concert_id)
        terms, now = self._terms[concert_id], datetime.now(UTC)
        opens = terms["sales_open_at"]
        return Availability(
            ticket_types=[
                {
                    "code": t["code"],
                    "capacity": t["capacity"],
                    "available": max(0, t["capacity"] - self._taken(concert_id, t["code"])),
                }
                for t in sorted(terms["ticket_types"], key=lambda t: t["code"])
            ],
            sales={
                "open": terms["status"] == "on_sale"
                and (opens is None or from_wire(opens) <= now)
                and now < from_wire(terms["sales_close_at"]),
                "sales_open_at": opens,
                "sales_close_at": terms["sales_close_at"],
            },
        )

    def _look(self, concert_id: str) -> None:
        if self.unreachable:
            raise RedisUnreachable("as the test asked")
        for (concert, owner), (until, claims) in list(self._held.items()):
            if concert == concert_id and until <= time.monotonic():
                del self._held[concert, owner]
                self._take_back(concert, owner, claims)

    def _taken(self, concert_id: str, code: str) -> int:
        return ticket_types_claimed(claim for concert, claim in self._owners if concert == concert_id).count(code)

    def _free(self, concert_id: str, claims: Sequence[str]) -> list[str]:
        return [claim for claim in claims if (concert_id, claim) not in self._owners]

    def _give(self, concert_id: str, owner: str, claims: Sequence[str]) -> None:
        self._owners.update({(concert_id, claim): owner for claim in claims})

    def _take_back(self, concert_id: str, owner: str, claims: Sequence[str]) -> None:
        for claim in claims:
            if self._owners.get((concert_id, claim)) == owner:
                del self._owners[concert_id, claim]


class FakeBookings:
    """As `booking_svc.bookings.Bookings`, as far as the box office needs it."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.unreachable = False
        self._now = now
        self._stored: dict[str, BookingDocument] = {}

    def confirm(self, draft: BookingDocument, sales_close_at: datetime) -> BookingDocument:
        self._look()
        if draft["_id"] in self._stored:
            return dict(self._stored[draft["_id"]])
        if self._now() >= sales_close_at:
            raise SalesClosed
        for owner, claims in self.sold(draft["concert_id"]):
            if set(claims) & set(draft["claims"]):
                raise ClaimTaken(owner, claims)
        now = self._now()
        decided: dict[str, Any] = {"status": "confirmed", "confirmed_at": now}
        self._stored[draft["_id"]] = {**draft, **decided, "history": [{"status": "confirmed", "at": now}]}
        return dict(self._stored[draft["_id"]])

    def find(self, booking_id: str) -> BookingDocument | None:
        self._look()
        found = self._stored.get(booking_id)
        return found and dict(found)

    def of_user(self, user_id: str, booking_id: str) -> BookingDocument:
        found = self.find(booking_id)
        if found is None or found["user_id"] != user_id:
            raise BookingNotFound(booking_id)
        return found

    def cancel(self, booking_id: str, sales_close_at: datetime, event: Envelope) -> BookingDocument | None:
        self._look()
        found = self._stored[booking_id]
        if found["status"] != "confirmed" or self._now() >= sales_close_at:
            return None
        found |= {"status": "cancelled", "cancelled_at": self._now(), "outbox": [*found["outbox"], event]}
        assert found["status"] in SETTLED
        return dict(found)

    def sold(self, concert_id: str) -> list[tuple[str, list[str]]]:
        self._look()
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
        self._stored: dict[str, SalesTerms] = {}

    def set(self, terms: SalesTerms) -> SalesTerms:
        before = self._stored.get(terms["concert_id"])
        if before is None or before["version"] <= terms["version"]:
            self._stored[terms["concert_id"]] = terms
        return self._stored[terms["concert_id"]]

    def newest(self, concert_id: str) -> SalesTerms:
        if concert_id not in self._stored:
            raise ConcertNotFound(concert_id)
        return self._stored[concert_id]

    def at_least(self, concert_id: str, version: int) -> SalesTerms:
        return self.newest(concert_id)
