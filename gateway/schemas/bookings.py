"""Holds and bookings, as they go in and out of the API."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from gateway.schemas.concerts import Venue
from gateway.schemas.fields import WHOLE_CHARACTERS, Money, Time, WholeNumber, local_times

#: Tickets of one request; no limit per person is higher.
MOST_TICKETS = 100


class Item(Schema):
    """Tickets of one type: a `quantity` of them (of reserved seats the best adjacent ones left), or `seats` by name."""

    ticket_type = fields.String(
        required=True, validate=[validate.Length(1, 32), WHOLE_CHARACTERS], metadata={"example": "standing"}
    )
    quantity = WholeNumber(1, MOST_TICKETS, metadata={"example": 2})
    seats = fields.List(
        fields.String(validate=[validate.Length(1, 40), WHOLE_CHARACTERS]), validate=validate.Length(1, MOST_TICKETS)
    )

    openapi = {
        "oneOf": [{"required": ["quantity"]}, {"required": ["seats"]}],
        "example": {"ticket_type": "standing", "quantity": 2},
    }

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        if ("quantity" in data) == ("seats" in data):
            raise ValidationError("Give either a quantity, or seats by name.", "quantity")


def _concert_id(**kwargs: Any) -> fields.String:
    return fields.String(validate=[validate.Length(1, 64), WHOLE_CHARACTERS], **kwargs)


def _items(**kwargs: Any) -> fields.List:
    return fields.List(fields.Nested(Item), validate=[validate.Length(1, 50), _each_seat_once, _not_too_many], **kwargs)


def _each_seat_once(items: list[dict[str, Any]]) -> None:
    seats = [(item["ticket_type"], seat) for item in items for seat in item.get("seats", [])]
    if len(set(seats)) < len(seats):
        raise ValidationError("Name each seat once.")


def _not_too_many(items: list[dict[str, Any]]) -> None:
    if sum(item.get("quantity", 0) + len(item.get("seats", [])) for item in items) > MOST_TICKETS:
        raise ValidationError(f"At most {MOST_TICKETS} tickets at once.")


class NewHold(Schema):
    concert_id = _concert_id(required=True)
    items = _items(required=True)


class HeldTicket(Schema):
    number = fields.Integer(required=True)
    ticket_type = fields.String(required=True)
    name = fields.String(required=True, metadata={"description": "the ticket type's", "example": "Standing"})
    seat = fields.String(required=True, allow_none=True)
    price = fields.Nested(Money, required=True)


class Hold(Schema):
    id = fields.String(required=True)
    concert_id = fields.String(required=True)
    items = fields.List(fields.Nested(Item), required=True)
    tickets = fields.List(fields.Nested(HeldTicket), required=True)
    total = fields.Nested(Money, required=True)
    expires_at = Time(required=True)


class NewBooking(Schema):
    """Of a hold, by `hold_id`; or at once, by `concert_id` and `items`."""

    hold_id = fields.String(validate=[validate.Length(1, 128), WHOLE_CHARACTERS])
    concert_id = _concert_id()
    items = _items()

    openapi = {
        "oneOf": [
            {"required": ["hold_id"], "not": {"anyOf": [{"required": ["concert_id"]}, {"required": ["items"]}]}},
            {"required": ["concert_id", "items"], "not": {"required": ["hold_id"]}},
        ],
        "example": {
            "concert_id": "6f1c2a9e4b7d4e0f8a3b5c7d9e1f2a3b",
            "items": [{"ticket_type": "standing", "quantity": 2}],
        },
    }

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        direct = {"concert_id", "items"}
        if "hold_id" in data and direct & data.keys():
            raise ValidationError("Give either a hold_id, or concert_id and items.", "hold_id")
        missing = sorted(direct - data.keys())
        if "hold_id" not in data and missing:
            raise ValidationError({field: ["Missing data for required field."] for field in missing})


class ConcertSummary(Schema):
    title = fields.String(required=True)
    starts_at = Time(required=True)
    doors_at = Time(allow_none=True)
    venue = fields.Nested(Venue, required=True)
    local = local_times("starts_at", "doors_at")


class Ticket(Schema):
    number = fields.Integer(required=True)
    ticket_type = fields.String(required=True)
    name = fields.String(
        metadata={
            "description": "the ticket type's when it was booked; bookings made before it was kept have none",
            "example": "Standing",
        }
    )
    seat = fields.String(allow_none=True)
    code = fields.String(required=True)
    price = fields.Nested(Money, required=True)


class ConfirmationMail(Schema):
    state = fields.String(required=True, validate=validate.OneOf(["queued", "sent", "failed"]))
    sent_at = Time(allow_none=True)
    reason = fields.String(
        allow_none=True, metadata={"description": "Why it failed.", "example": "550 5.1.1 <...>: no such mailbox"}
    )


class Booking(Schema):
    id = fields.String(required=True)
    reference = fields.String(required=True, metadata={"example": "K7M-2QX-9TD"})
    status = fields.String(required=True, validate=validate.OneOf(["confirmed", "cancelled"]))
    concert_id = fields.String(required=True)
    concert = fields.Nested(ConcertSummary, required=True)
    items = fields.List(fields.Nested(Item), required=True)
    tickets = fields.List(fields.Nested(Ticket), required=True)
    total = fields.Nested(Money, required=True)
    confirmed_at = Time(required=True)
    cancelled_at = Time(allow_none=True)
    confirmation_mail = fields.Nested(ConfirmationMail, required=True)


class Buyer(Schema):
    id = fields.String(required=True)
    name = fields.String(allow_none=True, metadata={"description": "null when the user is gone"})
    email = fields.String(allow_none=True)


class SoldBooking(Booking):
    """A booking as the concert's organiser sees it."""

    buyer = fields.Nested(Buyer, required=True)


class SoldBookingPage(Schema):
    items = fields.List(fields.Nested(SoldBooking), required=True)
    next_cursor = fields.String(allow_none=True, required=True)


class TicketTypeSales(Schema):
    ticket_type = fields.String(required=True)
    tickets = fields.Integer(required=True, metadata={"example": 83})
    revenue = fields.Nested(Money, required=True)
    cancelled = fields.Integer(
        required=True, metadata={"description": "tickets that were bought and given back", "example": 2}
    )


class HourSales(Schema):
    hour = Time(required=True, metadata={"description": "its beginning"})
    ticket_type = fields.String(required=True)
    tickets = fields.Integer(required=True, metadata={"example": 12})
    revenue = fields.Nested(Money, required=True)


class Sales(Schema):
    """What was sold and is not cancelled. Types and hours in which nothing was are left out."""

    ticket_types = fields.List(fields.Nested(TicketTypeSales), required=True)
    hours = fields.List(fields.Nested(HourSales), required=True)


class Rollout(Schema):
    """How far a change of a concert has been brought to its bookings."""

    kind = fields.String(required=True, validate=validate.OneOf(["cancellation", "reschedule", "reminder"]))
    version = fields.Integer(required=True, metadata={"description": "the concert's schedule_version", "example": 3})
    state = fields.String(
        required=True,
        validate=validate.OneOf(["running", "done", "stale"]),
        metadata={"description": "stale: another change has overtaken it"},
    )
    total = fields.Integer(required=True, metadata={"description": "confirmed bookings when it began", "example": 1200})
    looked_at = fields.Integer(required=True, metadata={"example": 400})
    changed = fields.Integer(required=True, metadata={"example": 398})
    begun_at = Time(required=True)
    finished_at = Time(allow_none=True)


class Rollouts(Schema):
    items = fields.List(fields.Nested(Rollout), required=True)


class BookingPage(Schema):
    items = fields.List(fields.Nested(Booking), required=True)
    next_cursor = fields.String(allow_none=True, required=True)


class TicketKey(Schema):
    """A public key as a JSON Web Key (RFC 8037)."""

    kid = fields.String(required=True, metadata={"example": "kPrK_qmx"})
    kty = fields.String(required=True, metadata={"example": "OKP"})
    crv = fields.String(required=True, metadata={"example": "Ed25519"})
    alg = fields.String(required=True, metadata={"example": "EdDSA"})
    use = fields.String(required=True, metadata={"example": "sig"})
    x = fields.String(required=True, metadata={"example": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})


class TicketKeys(Schema):
    keys = fields.List(fields.Nested(TicketKey), required=True)
