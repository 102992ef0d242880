"""
What an organiser may change of a concert, and when: the deciders. Pure.

Each gives the document's fields that become others; none when there is nothing to change.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from concert_svc import domain
from concert_svc.contract import ConcertChange, InvalidConcert, TicketType, WrongState
from concert_svc.domain import ConcertDocument
from rabbitmq.times import from_wire, from_wire_or_none

Fields = dict[str, Any]
#: How what an organiser says becomes what the document has.
STORED_AS: dict[str, Callable[[Any], Any]] = {
    "starts_at": from_wire,
    "doors_at": from_wire_or_none,
    "sales_open_at": from_wire_or_none,
    "ticket_types": lambda types: [domain.ticket_type(t) for t in types],
}


def update(concert: ConcertDocument, asked: ConcertChange, now: datetime) -> Fields:
    """
    Raises:
        WrongState: it is not a draft, and not on sale any more.
        StartsTooSoon: it would be moved to a start at which its sales have closed already.
        InvalidConcert
    """
    if concert["status"] not in ("draft", "published") or is_closed(concert, now):
        raise WrongState(concert["status"])
    fields = {name: STORED_AS.get(name, _itself)(value) for name, value in asked.items()}
    if "starts_at" in fields and fields["starts_at"] != concert["starts_at"]:
        domain.check_starts_late_enough(fields["starts_at"], now)
        fields["sales_close_at"] = domain.sales_close_at(fields["starts_at"])
        if concert["doors_at"] is not None:
            moved_by = fields["starts_at"] - concert["starts_at"]
            fields.setdefault("doors_at", concert["doors_at"] + moved_by)
    domain.check_times({**concert, **fields})
    if concert["status"] == "published" and "ticket_types" in fields:
        check_ticket_types(concert["ticket_types"], fields["ticket_types"])
    return {name: value for name, value in fields.items() if value != concert[name]}


def publish(concert: ConcertDocument, now: datetime) -> Fields:
    """
    Raises:
        WrongState: it is neither a draft nor on sale.
        StartsTooSoon: its sales would have closed already.
    """
    if concert["status"] == "published":
        return {}
    if concert["status"] != "draft":
        raise WrongState(concert["status"])
    domain.check_starts_late_enough(concert["starts_at"], now)
    return {"status": "published", "published_at": now}


def cancel(concert: ConcertDocument, now: datetime) -> Fields:
    """
    Raises:
        WrongState: it is a draft, or over.
    """
    if concert["status"] == "cancelled":
        return {}
    if concert["status"] not in ("published", "closed"):
        raise WrongState(concert["status"])
    return {"status": "cancelled", "cancelled_at": now}


def delete(concert: ConcertDocument, now: datetime) -> Fields:
    """
    Raises:
        WrongState: only a draft can be deleted.
    """
    if concert["status"] != "draft":
        raise WrongState(concert["status"])
    return {"status": "deleted"}


def is_closed(concert: ConcertDocument, now: datetime) -> bool:
    """Whether its sales have closed, also when that is not saved yet."""
    return concert["status"] == "published" and now >= concert["sales_close_at"]


def check_ticket_types(before: list[TicketType], after: list[TicketType]) -> None:
    """
    What is on sale stays what it is: a unit that somebody bought keeps its name. How much is left booking_svc knows.

    Raises:
        InvalidConcert
    """
    types = {t["code"]: t for t in after}
    for old in before:
        new = types.get(old["code"])
        if new is None:
            raise InvalidConcert("ticket_types", f"{old['code']} is on sale and cannot be left out.")
        if new["admission"] != old["admission"]:
            raise InvalidConcert("ticket_types", f"{old['code']} is on sale: its seats cannot come or go altogether.")
        if new.get("seating", [])[: len(old.get("seating", []))] != old.get("seating", []):
            raise InvalidConcert("ticket_types", f"{old['code']} is on sale: seating is only added at its end.")
        if new["price"]["currency"] != old["price"]["currency"]:
            raise InvalidConcert("ticket_types", f"{old['code']} is on sale: its currency stays.")


def _itself(value: Any) -> Any:
    return value


Decider = Callable[[ConcertDocument, datetime], Mapping[str, Any]]
