"""Sales terms of concerts that never were, and requests for their tickets."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Literal
from uuid import uuid4

from booking_svc import domain
from booking_svc.contract import Item, SalesTerms
from booking_svc.domain import BookingDocument
from rabbitmq.times import to_wire

#: Minor units of EUR.
PRICES = {"standing": 4500, "balcony": 8000}
SMALL_HALL = MappingProxyType({"standing": 3, "balcony": 2})


def new_id() -> str:
    return uuid4().hex


def terms(
    concert_id: str,
    *,
    version: int = 1,
    status: Literal["on_sale", "cancelled"] = "on_sale",
    capacities: Mapping[str, int] = SMALL_HALL,
    limit: int = 100,
    opens_in: timedelta | None = None,
    closes_in: timedelta = timedelta(hours=1),
    title: str = "Night of the Organs",
) -> SalesTerms:
    """Terms by which the concert is on sale now, unless something else is said."""
    now = datetime.now(UTC)
    return SalesTerms(
        concert_id=concert_id,
        version=version,
        status=status,
        sales_open_at=None if opens_in is None else to_wire(now + opens_in),
        sales_close_at=to_wire(now + closes_in),
        max_tickets_per_user=limit,
        ticket_types=[
            {
                "code": code,
                "name": code.title(),
                "price": {"amount": PRICES.get(code, 1000), "currency": "EUR"},
                "capacity": capacity,
            }
            for code, capacity in capacities.items()
        ],
        concert={
            "title": title,
            "starts_at": to_wire(now + closes_in + timedelta(seconds=10)),
            "doors_at": None,
            "venue": {"name": "Konzerthaus", "city": "Berlin", "country": "DE", "timezone": "Europe/Berlin"},
        },
    )


def items(**quantities: int) -> list[Item]:
    return [Item(ticket_type=code, quantity=quantity) for code, quantity in quantities.items()]


def draft(terms: SalesTerms, *units: str, booking_id: str | None = None, user_id: str | None = None) -> BookingDocument:
    """A booking of *units*, `standing:17`, by a new buyer unless one is named."""
    user_id = user_id or new_id()
    asked: list[Item] = [Item(ticket_type=unit.split(":")[0], quantity=1) for unit in units]
    return domain.draft(
        booking_id=booking_id or domain.booking_id(user_id, new_id()),
        user_id=user_id,
        idempotency_key=new_id(),
        items=asked,
        claims=[*(f"buyer:{user_id}:{slot}" for slot, _ in enumerate(units, start=1)), *(f"unit:{u}" for u in units)],
        terms=terms,
        now=datetime.now(UTC),
    )
