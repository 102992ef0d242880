"""What a concert is: its shape, its life cycle, when its sales close. Pure: no servers, and `now` is an argument."""

import secrets
from datetime import datetime, timedelta
from typing import Any, cast

from booking_svc.contract import ConcertSummary, SalesTerms, TicketTypeTerms
from concert_svc.contract import (
    Concert,
    ConcertStarting,
    NewConcert,
    NewTicketType,
    StartsTooSoon,
    TicketType,
    WrongState,
)
from rabbitmq.outbox import Envelope, envelope
from rabbitmq.times import from_wire, from_wire_or_none, to_wire, to_wire_or_none

SERVICE = "concert_svc"
#: Sales close so long before the concert starts.
SALES_CLOSE_BEFORE_START = timedelta(seconds=10)
DEFAULT_TICKETS_PER_USER = 10
#: Everybody sees a concert in one of these; a draft is its organiser's alone.
PUBLIC = ["published", "closed", "finished", "cancelled"]

#: A concert as MongoDB stores it: the contract's shape with datetimes, plus `version` and `outbox`.
ConcertDocument = dict[str, Any]


def sales_close_at(starts_at: datetime) -> datetime:
    """The first moment at which no ticket is sold any more."""
    return starts_at - SALES_CLOSE_BEFORE_START


def draft(organiser_id: str, new: NewConcert, now: datetime) -> ConcertDocument:
    """
    The document of a new concert.

    Raises:
        StartsTooSoon: its sales would have closed already.
    """
    starts_at = from_wire(new["starts_at"])
    check_starts_late_enough(starts_at, now)
    return {
        "_id": secrets.token_hex(12),
        "organiser_id": organiser_id,
        "status": "draft",
        "title": new["title"],
        "description": new.get("description"),
        "performers": new["performers"],
        "venue": new["venue"],
        "starts_at": starts_at,
        "doors_at": from_wire_or_none(new.get("doors_at")),
        "sales_open_at": from_wire_or_none(new.get("sales_open_at")),
        "sales_close_at": sales_close_at(starts_at),
        "max_tickets_per_user": new.get("max_tickets_per_user", DEFAULT_TICKETS_PER_USER),
        "ticket_types": [ticket_type(asked) for asked in new["ticket_types"]],
        "schedule_version": 1,
        "created_at": now,
        "published_at": None,
        "closed_at": None,
        "outbox": [],
    }


def ticket_type(new: NewTicketType) -> TicketType:
    """What is sold; the capacity of reserved seats follows from their plan."""
    if "seating" not in new:
        return TicketType(**new, admission="general")  # type: ignore[typeddict-item]  # it has a capacity
    seats = sum(len(block["rows"]) * block["seats_per_row"] for block in new["seating"])
    blocked = new.get("blocked_seats", [])
    reserved = {"accessible_seats": new.get("accessible_seats", []), "blocked_seats": blocked}
    return cast(TicketType, {**new, **reserved, "admission": "reserved", "capacity": seats - len(blocked)})


def check_starts_late_enough(starts_at: datetime, now: datetime) -> None:
    """
    Raises:
        StartsTooSoon: sales would close at or before *now*.
    """
    if sales_close_at(starts_at) <= now:
        raise StartsTooSoon(to_wire(starts_at))


def check_publishable(concert: ConcertDocument, now: datetime) -> None:
    """
    Raises:
        WrongState: only a draft can be published.
        StartsTooSoon: its sales would have closed already.
    """
    if concert["status"] != "draft":
        raise WrongState(concert["status"])
    check_starts_late_enough(concert["starts_at"], now)


def sales_terms(concert: ConcertDocument) -> SalesTerms:
    """By what terms booking_svc is to sell the concert's tickets."""
    return SalesTerms(
        concert_id=concert["_id"],
        version=concert["schedule_version"],
        status="on_sale",
        sales_open_at=to_wire_or_none(concert["sales_open_at"]),
        sales_close_at=to_wire(concert["sales_close_at"]),
        max_tickets_per_user=concert["max_tickets_per_user"],
        ticket_types=[_ticket_type_terms(t) for t in concert["ticket_types"]],
        concert=ConcertSummary(
            title=concert["title"],
            starts_at=to_wire(concert["starts_at"]),
            doors_at=to_wire_or_none(concert["doors_at"]),
            venue=concert["venue"],
        ),
    )


def _ticket_type_terms(ticket_type: TicketType) -> TicketTypeTerms:
    """The same without the admission, which follows from the seating."""
    return cast(TicketTypeTerms, {field: value for field, value in ticket_type.items() if field != "admission"})


def starting_event(concert: ConcertDocument, now: datetime, request_id: str | None = None) -> Envelope:
    """The hint, delivered when sales close, to save `closed`. A later schedule_version makes it stale."""
    data = ConcertStarting(concert_id=concert["_id"], schedule_version=concert["schedule_version"])
    return envelope(
        SERVICE,
        "concert_starting",
        seq=concert["schedule_version"],
        data=dict(data),
        now=now,
        not_before=concert["sales_close_at"],
        request_id=request_id,
    )


def as_concert(document: ConcertDocument) -> Concert:
    """The concert as readers see it."""
    return Concert(
        id=document["_id"],
        organiser_id=document["organiser_id"],
        status=document["status"],
        title=document["title"],
        description=document["description"],
        performers=document["performers"],
        venue=document["venue"],
        starts_at=to_wire(document["starts_at"]),
        doors_at=to_wire_or_none(document["doors_at"]),
        sales_open_at=to_wire_or_none(document["sales_open_at"]),
        sales_close_at=to_wire(document["sales_close_at"]),
        max_tickets_per_user=document["max_tickets_per_user"],
        ticket_types=document["ticket_types"],
        schedule_version=document["schedule_version"],
        created_at=to_wire(document["created_at"]),
        published_at=to_wire_or_none(document["published_at"]),
        closed_at=to_wire_or_none(document["closed_at"]),
    )
