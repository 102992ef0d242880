"""What a booking is: its identity, claims, tickets, price and shapes. Pure: no servers, and `now` is an argument."""

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from booking_svc.contract import (
    Booking,
    BookingCancelled,
    BookingConfirmed,
    Item,
    Money,
    SalesTerms,
    Ticket,
    TicketTypeTerms,
)
from rabbitmq.outbox import Envelope, envelope
from rabbitmq.times import to_wire, to_wire_or_none

SERVICE = "booking_svc"
BOOKING_NAMESPACE = UUID("6f1d9a52-2c0e-4a53-9a4e-4d6d2f0f7d11")
#: Crockford's base 32: no I, L, O or U, so that a reference survives being read over the telephone.
REFERENCE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

#: A booking as MongoDB stores it (see bookings.py for its fields).
BookingDocument = dict[str, Any]


def booking_id(user_id: str, idempotency_key: str) -> str:
    """The booking that this key of this user stands for: a repeated request meets its own booking."""
    return str(uuid5(BOOKING_NAMESPACE, f"{user_id}:{idempotency_key}"))


def fingerprint(concert_id: str, items: Sequence[Item]) -> str:
    """Tells whether two requests with the same key ask for the same."""
    asked = json.dumps([concert_id, items], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(asked.encode()).hexdigest()


def reference(booking_id: str) -> str:
    """What a buyer reads out to a person: `K7M-2QX-9TD`, 45 bits of the id. Helps to find, never to authorise."""
    number = UUID(booking_id).int
    letters = "".join(REFERENCE_ALPHABET[(number >> shift) & 31] for shift in range(0, 45, 5))
    return "-".join(letters[i : i + 3] for i in range(0, 9, 3))


def quantities(items: Iterable[Item]) -> dict[str, int]:
    """How many tickets of each type *items* ask for."""
    asked: Counter[str] = Counter()
    for item in items:
        asked[item["ticket_type"]] += item["quantity"]
    return dict(asked)


def ticket_types_claimed(claims: Iterable[str]) -> list[str]:
    """The ticket type of each unit among *claims*, `unit:standing:17` -> `standing`, in their order."""
    return [claim.split(":", 2)[1] for claim in claims if claim.startswith("unit:")]


def draft(
    *,
    booking_id: str,
    user_id: str,
    idempotency_key: str,
    items: Sequence[Item],
    claims: Sequence[str],
    terms: SalesTerms,
    now: datetime,
    request_id: str | None = None,
) -> BookingDocument:
    """
    The document of a booking that holds *claims*, priced by *terms*, with its event waiting in its outbox.

    MongoDB's clock adds `status`, `confirmed_at` and `history` in the write.
    """
    types: dict[str, TicketTypeTerms] = {t["code"]: t for t in terms["ticket_types"]}
    tickets = [
        Ticket(number=number, ticket_type=code, seat=None, code=secrets.token_urlsafe(16), price=types[code]["price"])
        for number, code in enumerate(ticket_types_claimed(claims), start=1)
    ]
    document: BookingDocument = {
        "_id": booking_id,
        "concert_id": terms["concert_id"],
        "user_id": user_id,
        "idempotency_key": idempotency_key,
        "fingerprint": fingerprint(terms["concert_id"], items),
        "reference": reference(booking_id),
        "concert": terms["concert"],
        "items": list(items),
        "tickets": tickets,
        "claims": list(claims),
        "total": total(tickets),
        "schedule_version": terms["version"],
        "cancelled_at": None,
        "confirmation_mail": {"state": "queued", "sent_at": None},
    }
    data = BookingConfirmed(booking=as_confirmed({**document, "confirmed_at": now}), user_id=user_id)
    document["outbox"] = [envelope(SERVICE, "booking_confirmed", 1, dict(data), now, request_id=request_id)]
    return document


def total(tickets: Sequence[Ticket]) -> Money:
    """The sum of the tickets' prices; a concert's prices are all in one currency."""
    return Money(amount=sum(ticket["price"]["amount"] for ticket in tickets), currency=tickets[0]["price"]["currency"])


def cancelled_event(document: BookingDocument, now: datetime, request_id: str | None = None) -> Envelope:
    """Tells that the booking's tickets are free again."""
    data = BookingCancelled(
        booking_id=document["_id"],
        concert_id=document["concert_id"],
        user_id=document["user_id"],
        claims=document["claims"],
    )
    return envelope(SERVICE, "booking_cancelled", 2, dict(data), now, request_id=request_id)


def as_booking(document: BookingDocument) -> Booking:
    """The booking as its buyer sees it now."""
    mail = document["confirmation_mail"]
    return Booking(
        id=document["_id"],
        reference=document["reference"],
        status=document["status"],
        concert_id=document["concert_id"],
        concert=document["concert"],
        items=document["items"],
        tickets=document["tickets"],
        total=document["total"],
        confirmed_at=to_wire(document["confirmed_at"]),
        cancelled_at=to_wire_or_none(document["cancelled_at"]),
        confirmation_mail={"state": mail["state"], "sent_at": to_wire_or_none(mail["sent_at"])},
    )


def as_confirmed(document: BookingDocument) -> Booking:
    """The booking as it was answered when it was confirmed, whatever has happened since: what a replay repeats."""
    then = {"status": "confirmed", "cancelled_at": None, "confirmation_mail": {"state": "queued", "sent_at": None}}
    return as_booking({**document, **then})
