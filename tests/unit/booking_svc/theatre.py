"""A theatre in memory: the box office on the model of the inventory, with a clock that a test may turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from booking_svc import contract
from booking_svc.box_office import BoxOffice
from booking_svc.contract import Item
from booking_svc.domain import BookingDocument
from booking_svc.inventory import Inventory
from booking_svc.stocktake import Stocktake
from tests.unit.booking_svc.concerts import items, new_id, terms
from tests.unit.booking_svc.fakes import FakeBookings, FakeTerms
from tests.unit.booking_svc.model import ModelOfCounts, ModelOfHolds, ModelOfRedis


class Theatre:
    """A box office and what it works with, selling one concert."""

    def __init__(
        self,
        bookings: FakeBookings | None = None,
        concert_id: str | None = None,
        now: Callable[[], float] | None = None,
        **on_sale: Any,
    ) -> None:
        self.concert_id, self.later = concert_id or new_id(), 0.0
        self.redis = ModelOfRedis(now or self.now)
        self.bookings = bookings or FakeBookings(lambda: datetime.fromtimestamp(self.redis.now() / 1000, UTC))
        self.scanned = self.bookings  # by the stocktake
        self.terms, self.holds, self.counts = FakeTerms(), ModelOfHolds(self.redis), ModelOfCounts(self.redis)
        stores: Any = (self.holds, self.bookings, self.terms, Stocktake(self.counts, self.bookings, self.terms))  # type: ignore[arg-type]
        self.inventory = Inventory(*stores)
        self.box_office = BoxOffice(self.inventory, *stores[:3])
        self.inventory.set_terms(terms(self.concert_id, **on_sale))

    def now(self) -> float:
        """In milliseconds."""
        return time.time() * 1000 + self.later

    def pass_time(self, seconds: float) -> None:
        self.later += seconds * 1000

    def book(
        self, user_id: str = "ada", key: str | None = None, redelivered: bool = False, **quantities: int
    ) -> tuple[BookingDocument, bool]:
        asked = items(**quantities)
        return self.box_office.book(user_id, key or new_id(), self.concert_id, asked, redelivered=redelivered)

    def hold(
        self, user_id: str = "ada", key: str | None = None, asked: Sequence[Item] = (), **quantities: int
    ) -> contract.Hold:
        return self.box_office.hold(user_id, key or new_id(), self.concert_id, [*asked, *items(**quantities)])

    def book_hold(
        self, hold: contract.Hold, user_id: str = "ada", key: str | None = None, redelivered: bool = False
    ) -> tuple[BookingDocument, bool]:
        return self.box_office.book_hold(user_id, key or new_id(), hold["id"], redelivered=redelivered)

    def available(self) -> dict[str, int]:
        types = self.inventory.availability(self.concert_id)["ticket_types"]
        return {t["code"]: t["available"] for t in types}

    def sold(self) -> set[str]:
        return {owner for owner, _ in self.bookings.sold(self.concert_id)}

    def forget(self) -> None:
        """Redis is emptied."""
        self.redis.forget(self.concert_id)
