"""Concerts, their availability and seats, as they go in and out of the API."""

import math
import re
from importlib import resources
from typing import Any
from zoneinfo import available_timezones

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from booking_svc.contract import SEAT_STATES
from gateway.examples import ID
from gateway.schemas.fields import (
    WHOLE_CHARACTERS,
    DayOrTime,
    Money,
    PageArguments,
    Time,
    WholeNumber,
    local_times,
    text,
)
from rabbitmq import cursors
from rabbitmq.times import from_wire

#: Seats and rows in one concert, in all; and seats of a type that a body of 64 KiB can name.
MOST_SEATS, MOST_ROWS, MOST_NAMED = 50_000, 2_500, 5_000

#: Of a section or row. The parts of a seat's name are joined by hyphens, and printed on tickets.
SEATING_NAME = validate.Regexp(r"^[A-Za-z0-9]{1,12}\Z", error="Must be 1 to 12 letters and digits.")


def _countries() -> list[str]:
    """The codes of ISO 3166-1 as the time zone database lists them: a line is a code, a tab and a name."""
    table = resources.files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text("utf-8")
    return [line.partition("\t")[0] for line in table.splitlines() if not line.startswith("#")]


COUNTRIES = _countries()


class Venue(Schema):
    name = text(200, metadata={"example": "Konzerthaus"})
    city = text(100, metadata={"example": "Berlin"})
    country = fields.String(
        required=True,
        validate=validate.OneOf(COUNTRIES, error="Must be a country's code of two letters (ISO 3166-1), such as DE."),
        metadata={"description": "ISO 3166-1 alpha-2", "example": "DE"},
    )
    address = text(300, required=False, allow_none=True)
    timezone = fields.String(
        required=True,
        validate=lambda name: name in available_timezones() or _refuse("Must be an IANA time zone."),
        metadata={"example": "Europe/Berlin"},
    )


class SeatingBlock(Schema):
    """Rows of one section, the best first."""

    section = fields.String(required=True, validate=SEATING_NAME, metadata={"example": "B"})
    rows = fields.List(
        fields.String(validate=SEATING_NAME), required=True, validate=validate.Length(1, 1000),
        metadata={"example": ["1", "2", "3"]},
    )  # fmt: skip
    seats_per_row = WholeNumber(1, 1000, required=True, metadata={"example": 24})


def seat_names() -> fields.List:
    return fields.List(
        fields.String(validate=validate.Length(1, 40)), validate=validate.Length(max=MOST_NAMED),
        metadata={"example": ["B-3-12"]},
    )  # fmt: skip


class NewTicketType(Schema):
    """General admission with a `capacity`, or reserved seats with `seating`. A seat is `section-row-number`."""

    code = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z0-9][a-z0-9_-]{0,31}\Z", error="Must be a short lower-case code."),
        metadata={"example": "standing"},
    )
    name = text(100, metadata={"example": "Standing"})
    price = fields.Nested(Money, required=True)
    capacity = WholeNumber(1, 1_000_000, metadata={"example": 200})
    seating = fields.List(fields.Nested(SeatingBlock), validate=validate.Length(1, 100))
    accessible_seats = seat_names()
    blocked_seats = seat_names()

    openapi = {
        "oneOf": [{"required": ["capacity"]}, {"required": ["seating"]}],
        "example": {
            "code": "standing",
            "name": "Standing",
            "price": {"amount": 4500, "currency": "EUR"},
            "capacity": 200,
        },
    }

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        if ("capacity" in data) == ("seating" in data):
            raise ValidationError("Give either a capacity, or seating for reserved seats.", "capacity")
        rows = _rows_of(data)
        if sum(rows.values()) > MOST_SEATS:
            raise ValidationError(f"A concert has at most {MOST_SEATS} seats.", "seating")
        for kind in ("accessible_seats", "blocked_seats"):
            named = data.get(kind, [])
            if unknown := [seat for seat in named if not _is_in(seat, rows)]:
                raise ValidationError(f"There is no seat {unknown[0]}.", kind)
            if len(set(named)) < len(named):
                raise ValidationError("Name each seat once.", kind)
        if rows and len(data.get("blocked_seats", [])) == sum(rows.values()):
            raise ValidationError("Some seats must be left to sell.", "blocked_seats")


class TicketType(Schema):
    code = fields.String(required=True)
    name = fields.String(required=True)
    price = fields.Nested(Money, required=True)
    admission = fields.String(required=True, validate=validate.OneOf(["general", "reserved"]))
    capacity = fields.Integer(required=True, metadata={"description": "tickets that can be sold"})
    seating = fields.List(fields.Nested(SeatingBlock))
    accessible_seats = fields.List(fields.String())
    blocked_seats = fields.List(fields.String())


class NewConcert(Schema):
    title = text(200, metadata={"example": "Night of the Organs"})
    description = text(10_000, required=False, allow_none=True, lines=True)
    performers = fields.List(text(200), required=True, validate=validate.Length(1, 50))
    venue = fields.Nested(Venue, required=True)
    starts_at = Time(required=True)
    doors_at = Time(allow_none=True)
    sales_open_at = Time(allow_none=True)
    max_tickets_per_user = WholeNumber(1, 100, metadata={"example": 10})
    ticket_types = fields.List(fields.Nested(NewTicketType), required=True, validate=validate.Length(1, 50))

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        check_ticket_types(data["ticket_types"])
        for earlier in ("doors_at", "sales_open_at"):
            if data.get(earlier) and from_wire(data[earlier]) > from_wire(data["starts_at"]):
                raise ValidationError("Must not be after starts_at.", earlier)


class ConcertChange(Schema):
    """The fields that are to change. `ticket_types` are all that there are from now on."""

    title = text(200, required=False)
    description = text(10_000, required=False, allow_none=True, lines=True)
    performers = fields.List(text(200), validate=validate.Length(1, 50))
    venue = fields.Nested(Venue)
    starts_at = Time()
    doors_at = Time(allow_none=True)
    sales_open_at = Time(allow_none=True)
    max_tickets_per_user = WholeNumber(1, 100)
    ticket_types = fields.List(fields.Nested(NewTicketType), validate=validate.Length(1, 50))

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        if "ticket_types" in data:
            check_ticket_types(data["ticket_types"])


def check_ticket_types(types: list[dict[str, Any]]) -> None:
    """
    Raises:
        ValidationError: they cannot be those of one concert.
    """
    if len({t["code"] for t in types}) < len(types):
        raise ValidationError("Each ticket type needs a code of its own.", "ticket_types")
    rows = [row for t in types for row in _rows_of(t).items()]
    if sum(seats for _, seats in rows) > MOST_SEATS:
        raise ValidationError(f"A concert has at most {MOST_SEATS} seats.", "ticket_types")
    if len(dict(rows)) < len(rows):
        raise ValidationError("Two ticket types cannot have the same row of a section.", "ticket_types")
    if len(rows) > MOST_ROWS:
        raise ValidationError(f"A concert has at most {MOST_ROWS} rows.", "ticket_types")
    if len({t["price"]["currency"] for t in types}) > 1:
        raise ValidationError("All prices must be in one currency.", "ticket_types")


class Concert(Schema):
    id = fields.String(required=True)
    organiser_id = fields.String(required=True)
    status = fields.String(
        required=True, validate=validate.OneOf(["draft", "published", "closed", "finished", "cancelled"])
    )
    title = fields.String(required=True)
    description = fields.String(allow_none=True)
    performers = fields.List(fields.String(), required=True)
    venue = fields.Nested(Venue, required=True)
    starts_at = Time(required=True)
    doors_at = Time(allow_none=True)
    sales_open_at = Time(allow_none=True)
    sales_close_at = Time(required=True)
    max_tickets_per_user = fields.Integer(required=True)
    ticket_types = fields.List(fields.Nested(TicketType), required=True)
    schedule_version = fields.Integer(required=True, metadata={"description": "grows with every change", "example": 3})
    created_at = Time(required=True)
    published_at = Time(allow_none=True)
    closed_at = Time(allow_none=True)
    finished_at = Time(allow_none=True)
    cancelled_at = Time(allow_none=True)
    local = local_times("starts_at", "doors_at", "sales_open_at", "sales_close_at")


class ConcertPage(Schema):
    items = fields.List(fields.Nested(Concert), required=True)
    next_cursor = fields.String(allow_none=True, required=True)


class SearchArguments(PageArguments):
    """A date, `2026-12-01`, means the whole day in UTC."""

    text = fields.String(
        data_key="q", validate=[validate.Length(1, 200), WHOLE_CHARACTERS], metadata={"example": "organs"}
    )
    city = fields.String(validate=[validate.Length(1, 100), WHOLE_CHARACTERS])
    starts_from = DayOrTime(data_key="from")
    starts_before = DayOrTime(data_key="to", whole_day=True)
    lowest_price = fields.Integer(data_key="min_price", validate=validate.Range(0, 100_000_000))
    highest_price = fields.Integer(data_key="max_price", validate=validate.Range(0, 100_000_000))
    available = fields.Boolean(metadata={"description": "only concerts that have tickets left, as far as is known"})
    sort = fields.String(
        validate=validate.OneOf(["date", "relevance"]),
        metadata={"description": "relevance to `q`, which is the default when there is one; or date"},
    )

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("sort") == "relevance" and "text" not in data:
            raise ValidationError("Needs a text to be relevant to.", "sort")
        if data.get("highest_price", math.inf) < data.get("lowest_price", 0):
            raise ValidationError("Must not be below min_price.", "max_price")

    def read_cursor(self, cursor: str, data: dict[str, Any]) -> object:
        by_relevance = "text" in data and data.get("sort", "relevance") == "relevance"
        return cursors.read_by_relevance(cursor) if by_relevance else super().read_cursor(cursor, data)


class FieldChange(Schema):
    was = fields.Raw(required=True, allow_none=True, metadata={"example": "Night of the Organs"})
    is_ = fields.Raw(
        required=True, allow_none=True, attribute="is", data_key="is", metadata={"example": "Night of the Flutes"}
    )


class Change(Schema):
    version = fields.Integer(required=True, metadata={"example": 3})
    action = fields.String(
        required=True, validate=validate.OneOf(["changed", "created", "published", "cancelled", "deleted"])
    )
    at = Time(required=True)
    by = fields.String(required=True, metadata={"description": "a user's id", "example": ID})
    request_id = fields.String(allow_none=True, metadata={"example": ID})
    changed = fields.Dict(
        keys=fields.String(), values=fields.Nested(FieldChange), required=True, attribute="fields", data_key="fields",
        metadata={"example": {"title": {"was": "Night of the Organs", "is": "Night of the Flutes"}}},
    )  # fmt: skip


class ChangePage(Schema):
    items = fields.List(fields.Nested(Change), required=True)
    next_cursor = fields.String(allow_none=True, required=True)


class TicketTypeAvailability(Schema):
    code = fields.String(required=True)
    capacity = fields.Integer(required=True, validate=validate.Range(0))
    available = fields.Integer(required=True, validate=validate.Range(0))


class SalesWindow(Schema):
    open = fields.Boolean(required=True)
    sales_open_at = Time(allow_none=True)
    sales_close_at = Time(required=True)


class Availability(Schema):
    ticket_types = fields.List(fields.Nested(TicketTypeAvailability), required=True)
    sales = fields.Nested(SalesWindow, required=True)


class SeatState(Schema):
    seat = fields.String(required=True, metadata={"example": "B-3-12"})
    ticket_type = fields.String(required=True, metadata={"example": "balcony"})
    state = fields.String(required=True, validate=validate.OneOf(list(SEAT_STATES.values())))


class SeatMap(Schema):
    items = fields.List(fields.Nested(SeatState), required=True)


def _rows_of(ticket_type: dict[str, Any]) -> dict[str, int]:
    """
    The number of seats in each row, `section-row`; none in general admission.

    Raises:
        ValidationError: a row is named twice.
    """
    blocks = ticket_type.get("seating") or []
    rows = [(f"{block['section']}-{row}", block["seats_per_row"]) for block in blocks for row in block["rows"]]
    if len(dict(rows)) < len(rows):
        raise ValidationError("Name each row of a section once.", "seating")
    return dict(rows)


def _is_in(seat: str, rows: dict[str, int]) -> bool:
    """Whether `section-row-number` is the name of a seat in *rows*."""
    row, _, number = seat.rpartition("-")
    return re.fullmatch(r"[1-9][0-9]{0,3}", number) is not None and int(number) <= rows.get(row, 0)


def _refuse(message: str) -> bool:
    raise ValidationError(message)
