"""What a concert is: its shape, its life cycle, when its sales close. Pure: no servers, and `now` is an argument."""

import secrets
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict, cast

from booking_svc.contract import SalesTerms, TicketTypeTerms
from concert_svc.contract import (
    Change,
    Concert,
    InvalidConcert,
    NewConcert,
    NewTicketType,
    Schedule,
    StartsTooSoon,
    TicketType,
)
from rabbitmq.times import from_wire, from_wire_or_none, to_wire, to_wire_or_none

#: Sales close so long before the concert starts.
SALES_CLOSE_BEFORE_START = timedelta(seconds=10)
DEFAULT_TICKETS_PER_USER = 10
#: Everybody sees a concert in one of these; a draft is its organiser's alone.
PUBLIC = ["published", "closed", "finished", "cancelled"]
#: What an organiser says of a concert, by the names that the document has.
TOLD = (
    *("title", "description", "performers", "venue", "starts_at", "doors_at", "sales_open_at"),
    *("max_tickets_per_user", "ticket_types"),
)

#: A concert as MongoDB stores it: the contract's shape with datetimes, and what concerts.py adds.
ConcertDocument = dict[str, Any]

Action = Literal["created", "changed", "published", "cancelled", "deleted"]


class PendingChange(TypedDict):
    """A change that is decided, and not yet known to everybody; it lies in the concert's document until it is."""

    version: int
    action: Action
    fields: dict[str, Any]  #: as the document has them
    by: str
    request_id: str | None
    at: datetime
    token: str  #: whose it is to carry out
    until: datetime  #: and until when


def sales_close_at(starts_at: datetime) -> datetime:
    """The first moment at which no ticket is sold any more."""
    return starts_at - SALES_CLOSE_BEFORE_START


def draft(organiser_id: str, new: NewConcert, now: datetime) -> ConcertDocument:
    """
    The document of a new concert.

    Raises:
        StartsTooSoon: its sales would have closed already.
        InvalidConcert
    """
    starts_at = from_wire(new["starts_at"])
    check_starts_late_enough(starts_at, now)
    document = {
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
        "last_version": 1,
        "created_at": now,
        "published_at": None,
        "closed_at": None,
        "finished_at": None,
        "cancelled_at": None,
        "outbox": [],
    }
    check_times(document)
    return {**document, **found_by(document)}


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


def check_times(concert: Mapping[str, Any]) -> None:
    """
    Raises:
        InvalidConcert: the doors or the sales would open after the start.
    """
    for earlier in ("doors_at", "sales_open_at"):
        if concert[earlier] is not None and concert[earlier] > concert["starts_at"]:
            raise InvalidConcert(earlier, "Must not be after starts_at.")


def found_by(concert: Mapping[str, Any]) -> dict[str, Any]:
    """What a search compares, made of what the organiser says."""
    return {
        "city": plain(concert["venue"]["city"]),
        "prices": sorted({t["price"]["amount"] for t in concert["ticket_types"]}),
    }


def plain(name: str) -> str:
    """*name* without its case and accents: `Zürich` is `zurich`."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())


def with_change(concert: ConcertDocument, change: PendingChange) -> ConcertDocument:
    """The concert as it is once *change* is in force."""
    changed = {**concert, **change["fields"], "schedule_version": change["version"]}
    return {**changed, **found_by(changed)}


def sales_terms(concert: ConcertDocument) -> SalesTerms:
    """By what terms booking_svc is to sell the concert's tickets."""
    return SalesTerms(
        concert_id=concert["_id"],
        version=concert["schedule_version"],
        status="cancelled" if concert["status"] == "cancelled" else "on_sale",
        sales_open_at=to_wire_or_none(concert["sales_open_at"]),
        sales_close_at=to_wire(concert["sales_close_at"]),
        max_tickets_per_user=concert["max_tickets_per_user"],
        ticket_types=[_ticket_type_terms(t) for t in concert["ticket_types"]],
        concert=schedule(concert),
    )


def _ticket_type_terms(ticket_type: TicketType) -> TicketTypeTerms:
    """The same without the admission, which follows from the seating."""
    return cast(TicketTypeTerms, {field: value for field, value in ticket_type.items() if field != "admission"})


def schedule(concert: ConcertDocument) -> Schedule:
    """What, when and where."""
    return Schedule(
        title=concert["title"],
        starts_at=to_wire(concert["starts_at"]),
        doors_at=to_wire_or_none(concert["doors_at"]),
        venue=concert["venue"],
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
        finished_at=to_wire_or_none(document["finished_at"]),
        cancelled_at=to_wire_or_none(document["cancelled_at"]),
    )


def change_entry(concert: ConcertDocument, change: PendingChange) -> dict[str, Any]:
    """The line of the audit trail: *concert* is as it was before *change*."""
    fields = {
        name: {"was": concert[name], "is": value}
        for name, value in change["fields"].items()
        if name in TOLD and concert[name] != value
    }
    return _entry(concert["_id"], change["version"], change["action"], change["at"], change["by"],
                  change["request_id"], fields)  # fmt: skip


def created_entry(draft: ConcertDocument, request_id: str | None) -> dict[str, Any]:
    """The first line of the audit trail."""
    return _entry(draft["_id"], 1, "created", draft["created_at"], draft["organiser_id"], request_id, {})


def _entry(
    concert_id: str, version: int, action: Action, at: datetime, by: str, request_id: str | None, fields: dict[str, Any]
) -> dict[str, Any]:
    return {
        "_id": f"{concert_id}:{version}",
        "concert_id": concert_id,
        "version": version,
        "action": action,
        "at": at,
        "by": by,
        "request_id": request_id,
        "fields": fields,
    }


def as_change(entry: Mapping[str, Any]) -> Change:
    """A line of the audit trail as the organiser sees it."""
    return Change(
        version=entry["version"],
        action=entry["action"],
        at=to_wire(entry["at"]),
        by=entry["by"],
        request_id=entry["request_id"],
        fields={
            name: {side: to_wire(value) if isinstance(value, datetime) else value for side, value in sides.items()}
            for name, sides in entry["fields"].items()
        },
    )
