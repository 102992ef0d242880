"""What goes in and out of the API. Unknown fields of a body are refused; what is not listed here is not answered."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from auth_svc.contract import ROLES
from rabbitmq.times import from_wire, to_wire

NO_CONTROL = validate.Regexp(r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z", error="Must not contain control characters.")
#: JSON can write half a character ("\ud800"); no database and no mail can.
WHOLE_CHARACTERS = validate.Regexp(r"^[^\ud800-\udfff]*\Z", re.DOTALL, error="Must be text.")
#: What every mail server understands, and one spelling for one mailbox ("ada"@... is ada@...).
PLAIN_ADDRESS = validate.Regexp(
    r"^[!#-~]*\Z", error="Must be in ASCII and without quotes; a domain such as müller.de is written xn--mller-kva.de."
)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def text(longest: int, *, required: bool = True, lines: bool = False, **kwargs: Any) -> fields.String:
    """A text of 1 to *longest* characters, on one line unless *lines*."""
    rules: list[Any] = [validate.Length(1, longest)]
    if lines:
        rules.append(validate.Regexp(r"^[^\x00\ud800-\udfff]*\Z", re.DOTALL, error="Must be text."))
    else:
        rules.append(NO_CONTROL)
    return fields.String(required=required, validate=rules, **kwargs)


class WholeNumber(fields.Integer):
    """An integer from *least* to *most*; `true` and `1.0` are none."""

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(least, most), **kwargs)


class Time(fields.AwareDateTime):
    """An ISO-8601 time with an offset, `2026-12-01T19:00:00Z`; it goes on in UTC."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", validate=None, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        moment = super()._deserialize(value, attr, data, **kwargs)
        if not EARLIEST <= moment < LATEST:
            raise ValidationError("Must be between the years 2000 and 2200.")
        return to_wire(moment)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value  # services speak in this form


class PageArguments(Schema):
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    cursor = fields.String(load_default=None, validate=[validate.Length(max=500), WHOLE_CHARACTERS])


class Money(Schema):
    amount = WholeNumber(0, 100_000_000, required=True, metadata={"description": "minor units", "example": 4500})
    currency = fields.String(
        required=True, validate=validate.Regexp(r"^[A-Z]{3}\Z"), metadata={"description": "ISO 4217", "example": "EUR"}
    )


# --- accounts


class Registration(Schema):
    email = fields.Email(
        required=True, validate=[validate.Length(max=254), PLAIN_ADDRESS], metadata={"example": "ada@example.org"}
    )
    password = fields.String(required=True, validate=[validate.Length(12, 1024), WHOLE_CHARACTERS])
    name = text(100, metadata={"example": "Ada Lovelace"})


class Credentials(Schema):
    email = fields.String(required=True, validate=[validate.Length(1, 254), WHOLE_CHARACTERS])
    password = fields.String(required=True, validate=[validate.Length(1, 1024), WHOLE_CHARACTERS])


class ProfileChange(Schema):
    name = text(100)


class Roles(Schema):
    roles = fields.List(
        fields.String(validate=validate.OneOf(ROLES)), required=True, validate=validate.Length(1, len(ROLES))
    )

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        if len(set(data["roles"])) < len(data["roles"]):
            raise ValidationError("Name each role once.", "roles")


class User(Schema):
    id = fields.String(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True)
    roles = fields.List(fields.String(), required=True)
    created_at = Time(required=True)


class Tokens(Schema):
    user = fields.Nested(User, required=True)
    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds the access token is good for"})


# --- concerts


class Venue(Schema):
    name = text(200, metadata={"example": "Konzerthaus"})
    city = text(100, metadata={"example": "Berlin"})
    country = text(60, metadata={"example": "DE"})
    address = text(300, required=False, allow_none=True)
    timezone = fields.String(
        required=True,
        validate=lambda name: name in available_timezones() or _refuse("Must be an IANA time zone."),
        metadata={"example": "Europe/Berlin"},
    )


class NewTicketType(Schema):
    code = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z0-9][a-z0-9_-]{0,31}\Z", error="Must be a short lower-case code."),
        metadata={"example": "standing"},
    )
    name = text(100, metadata={"example": "Standing"})
    price = fields.Nested(Money, required=True)
    capacity = WholeNumber(1, 1_000_000, required=True, metadata={"example": 200})


class TicketType(NewTicketType):
    admission = fields.String(required=True)


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
        types = data["ticket_types"]
        if len({t["code"] for t in types}) < len(types):
            raise ValidationError("Each ticket type needs a code of its own.", "ticket_types")
        if len({t["price"]["currency"] for t in types}) > 1:
            raise ValidationError("All prices must be in one currency.", "ticket_types")
        for earlier in ("doors_at", "sales_open_at"):
            if data.get(earlier) and from_wire(data[earlier]) > from_wire(data["starts_at"]):
                raise ValidationError("Must not be after starts_at.", earlier)


class Concert(Schema):
    id = fields.String(required=True)
    organiser_id = fields.String(required=True)
    status = fields.String(required=True)
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
    created_at = Time(required=True)
    published_at = Time(allow_none=True)
    closed_at = Time(allow_none=True)


class ConcertPage(Schema):
    items = fields.List(fields.Nested(Concert), required=True)
    next_cursor = fields.String(allow_none=True, required=True)


class TicketTypeAvailability(Schema):
    code = fields.String(required=True)
    capacity = fields.Integer(required=True)
    available = fields.Integer(required=True)


class SalesWindow(Schema):
    open = fields.Boolean(required=True)
    sales_open_at = Time(allow_none=True)
    sales_close_at = Time(required=True)


class Availability(Schema):
    ticket_types = fields.List(fields.Nested(TicketTypeAvailability), required=True)
    sales = fields.Nested(SalesWindow, required=True)


# --- bookings


class Item(Schema):
    ticket_type = fields.String(
        required=True, validate=[validate.Length(1, 32), WHOLE_CHARACTERS], metadata={"example": "standing"}
    )
    quantity = WholeNumber(1, 100, required=True, metadata={"example": 2})


class NewBooking(Schema):
    concert_id = fields.String(required=True, validate=[validate.Length(1, 64), WHOLE_CHARACTERS])
    items = fields.List(fields.Nested(Item), required=True, validate=validate.Length(1, 50))


class ConcertSummary(Schema):
    title = fields.String(required=True)
    starts_at = Time(required=True)
    doors_at = Time(allow_none=True)
    venue = fields.Nested(Venue, required=True)


class Ticket(Schema):
    number = fields.Integer(required=True)
    ticket_type = fields.String(required=True)
    seat = fields.String(allow_none=True)
    code = fields.String(required=True)
    price = fields.Nested(Money, required=True)


class ConfirmationMail(Schema):
    state = fields.String(required=True, metadata={"description": "queued, sent or failed"})
    sent_at = Time(allow_none=True)


class Booking(Schema):
    id = fields.String(required=True)
    reference = fields.String(required=True, metadata={"example": "K7M-2QX-9TD"})
    status = fields.String(required=True)
    concert_id = fields.String(required=True)
    concert = fields.Nested(ConcertSummary, required=True)
    items = fields.List(fields.Nested(Item), required=True)
    tickets = fields.List(fields.Nested(Ticket), required=True)
    total = fields.Nested(Money, required=True)
    confirmed_at = Time(required=True)
    cancelled_at = Time(allow_none=True)
    confirmation_mail = fields.Nested(ConfirmationMail, required=True)


class BookingPage(Schema):
    items = fields.List(fields.Nested(Booking), required=True)
    next_cursor = fields.String(allow_none=True, required=True)


class Health(Schema):
    status = fields.String(required=True)
    checks = fields.Dict(keys=fields.String(), values=fields.String())


def _refuse(message: str) -> bool:
    raise ValidationError(message)
