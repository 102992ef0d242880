"""Sales terms of concerts that never were, and requests for their tickets."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal
from uuid import uuid4

from booking_svc import domain
from booking_svc.contract import Item, SalesTerms, TicketTypeTerms
from booking_svc.domain import BookingDocument, Hold, Purchase
from booking_svc.offer import Offer, Taken, Unit
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
    seating: Mapping[str, dict[str, Any]] = MappingProxyType({}),
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
            *(_ticket_type(code, capacity) for code, capacity in capacities.items()),
            *(_ticket_type(code, _capacity(seated), **seated) for code, seated in seating.items()),
        ],
        concert={
            "title": title,
            "starts_at": to_wire(now + closes_in + timedelta(seconds=10)),
            "doors_at": None,
            "venue": {"name": "Konzerthaus", "city": "Berlin", "country": "DE", "timezone": "Europe/Berlin"},
        },
    )


def _ticket_type(code: str, capacity: int, **seated: Any) -> TicketTypeTerms:
    price = {"amount": PRICES.get(code, 1000), "currency": "EUR"}
    return {"code": code, "name": code.title(), "price": price, "capacity": capacity, **seated}  # type: ignore[typeddict-item]


def _capacity(seated: dict[str, Any]) -> int:
    seats = sum(len(block["rows"]) * block["seats_per_row"] for block in seated["seating"])
    return int(seats - len(seated.get("blocked_seats", [])))


def items(**quantities: int) -> list[Item]:
    return [Item(ticket_type=code, quantity=quantity) for code, quantity in quantities.items()]


def seats(code: str, *names: str) -> list[Item]:
    return [Item(ticket_type=code, seats=list(names))]


def hall(*rows: str, seats_per_row: int = 6, section: str = "B", **kinds: list[str]) -> dict[str, Any]:
    """The seating of a reserved ticket type, for `terms(seating=...)`; *kinds* are accessible_seats, blocked_seats."""
    return {"seating": [{"section": section, "rows": list(rows), "seats_per_row": seats_per_row}], **kinds}


def purchase(user_id: str | None = None, key: str | None = None, asked: Sequence[Item] = ()) -> Purchase:
    return Purchase(user_id or new_id(), key or new_id(), domain.fingerprint(list(asked)))


def draft(
    terms: SalesTerms, *units: str, user_id: str | None = None, key: str | None = None, first_slot: int = 1
) -> BookingDocument:
    """A booking of *units*, `standing:17`, by a new buyer unless one is named."""
    offer, bought = Offer(terms), [unit.split(":") for unit in units]
    asked = [Item(ticket_type=code, quantity=1) for code, _ in bought]
    wanted = purchase(user_id, key, asked)
    slots = list(range(first_slot, first_slot + len(units)))
    taken = Taken(wanted.user_id, slots, [Unit(code, int(number)) for code, number in bought])
    return domain.draft(wanted, held(offer, taken, asked), offer, datetime.now(UTC))


def held(offer: Offer, taken: Taken, asked: Sequence[Item]) -> Hold:
    """A hold of *taken* at the prices of the offer."""
    prices = {code: ticket_type["price"] for code, ticket_type in offer.types.items()}
    return Hold("amark...", 1, offer.version, taken, list(asked), prices, datetime.now(UTC))
