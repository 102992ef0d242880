"""What holds and bookings are: identity, tickets, price, states and shapes. Pure: no servers, `now` is an argument."""

import hashlib
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid5

from booking_svc import contract
from booking_svc.contract import (
    Booking,
    BookingCancelled,
    BookingConfirmed,
    BookingReminderDue,
    BookingRescheduled,
    ConcertSummary,
    ConfirmationRequested,
    HeldTicket,
    HoldNotFound,
    Item,
    Money,
    ResentTooOften,
    SoldBooking,
    Ticket,
)
from booking_svc.marks import mark_of
from booking_svc.offer import Offer, Taken
from rabbitmq.outbox import Envelope, envelope, lasting_id
from rabbitmq.times import to_wire, to_wire_or_none

SERVICE = "booking_svc"
BOOKING_NAMESPACE = UUID("6f1d9a52-2c0e-4a53-9a4e-4d6d2f0f7d11")
#: Crockford's base 32: no I, L, O or U, so that a reference survives being read over the telephone.
REFERENCE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: A confirmation is sent again at most so often, whoever's address it is.
RESEND_PAUSE, RESENDS_A_DAY = timedelta(minutes=1), 5
#: The state of a confirmation that nobody has heard of yet. *kind* is what mailer_svc calls it.
CONFIRMATION_QUEUED: dict[str, Any] = {
    "kind": "confirmation",
    "state": "queued",
    "sent_at": None,
    "reason": None,
    "requested": [],
}

Document = dict[str, Any]
#: A booking as MongoDB stores it (see bookings.py for its fields).
BookingDocument = dict[str, Any]


class Version(NamedTuple):
    """What is remembered of terms that were in force once."""

    version: int
    sales_close_at: datetime
    max_tickets_per_user: int
    set_at: datetime  #: by the database's clock


@dataclass(frozen=True)
class Purchase:
    """A buyer's request for a booking, of items or of a hold."""

    user_id: str
    idempotency_key: str
    fingerprint: str
    request_id: str | None = None
    hold_id: str | None = None

    @cached_property
    def booking_id(self) -> str:
        return booking_id(self.user_id, self.idempotency_key)


class HoldKey(NamedTuple):
    """Which hold: of several that one nonce makes, one after the other, the one that was *born* then."""

    concert_id: str
    nonce: str
    born: int  #: ms since 1970, by Redis' clock


@dataclass(frozen=True)
class Hold:
    """Tickets kept for one owner, at these prices; *version* says which terms are in force now."""

    mark: str
    born: int  #: ms since 1970, by Redis' clock
    version: int
    taken: Taken
    items: list[Item]
    prices: dict[str, Money]
    expires_at: datetime


def booking_id(user_id: str, idempotency_key: str) -> str:
    """The booking that this key of this user stands for: a repeated request meets its own booking."""
    return str(uuid5(BOOKING_NAMESPACE, f"{user_id}:{idempotency_key}"))


def hold_nonce(user_id: str, idempotency_key: str) -> str:
    """What a hold made by this key of this user is called within its concert; only one lasts at a time."""
    return _hash(f"{user_id}:{idempotency_key}", 12)


def hold_id(user_id: str, key: HoldKey) -> str:
    """The hold's id, an opaque text. It names its concert, and only its buyer's id fits its last digits."""
    check = _hash(f"{key.concert_id}:{user_id}:{key.nonce}:{key.born}", 4)
    return f"{key.concert_id}-{key.nonce}{key.born:011x}{check}"


def read_hold_id(user_id: str, text: str) -> HoldKey:
    """
    What the id of the user's own hold names. Whether it still lasts is the inventory's to say.

    Raises:
        HoldNotFound: it is somebody else's, or no hold at all.
    """
    read = re.fullmatch(r"(.+)-([0-9a-f]{24})([0-9a-f]{11})[0-9a-f]{8}", text)
    if read is not None:
        key = HoldKey(read[1], read[2], int(read[3], 16))
        if hold_id(user_id, key) == text:
            return key
    raise HoldNotFound(text)


def mark_of_hold(hold_id: str) -> str:
    """How the inventory calls the hold."""
    return mark_of(hold_id.rpartition("-")[2][:24])


def is_made_of(booking: BookingDocument, concert_id: str, of_hold: tuple[str, int] | None) -> bool:
    """
    Whether the booking is the one that was made of this hold of its buyer (mark and birth), or of none.

    A key may have been used for something else meanwhile: for another hold, in another concert.
    """
    hold_id = booking["hold_id"]
    made_of = None if hold_id is None else (mark_of_hold(hold_id), int(hold_id.rpartition("-")[2][24:35], 16))
    return bool(booking["concert_id"] == concert_id) and made_of == of_hold


def _hash(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=size).hexdigest()


def fingerprint(*asked: Any) -> str:
    """Tells whether two requests with the same key ask for the same."""
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def reference(booking_id: str) -> str:
    """What a buyer reads out to a person: `K7M-2QX-9TD`, 45 bits of the id. Helps to find, never to authorise."""
    number = UUID(booking_id).int
    letters = "".join(REFERENCE_ALPHABET[(number >> shift) & 31] for shift in range(0, 45, 5))
    return "-".join(letters[i : i + 3] for i in range(0, 9, 3))


def held_tickets(hold: Hold, offer: Offer) -> list[HeldTicket]:
    """A ticket for each unit, at the hold's price of its type, and by the name that the type has now."""
    return [
        HeldTicket(
            number=number,
            ticket_type=unit.ticket_type,
            name=offer.name_of(unit.ticket_type),
            seat=offer.seat_of(unit),
            price=hold.prices[unit.ticket_type],
        )
        for number, unit in enumerate(hold.taken.units, start=1)
    ]


def hold_as_seen(key: HoldKey, hold: Hold, offer: Offer) -> contract.Hold:
    """The hold as its buyer sees it."""
    tickets = held_tickets(hold, offer)
    return contract.Hold(
        id=hold_id(hold.taken.buyer, key),
        concert_id=offer.concert_id,
        items=hold.items,
        tickets=tickets,
        total=total(tickets),
        expires_at=to_wire(min(hold.expires_at, offer.closes)),  # sales may close earlier than they were to
    )


def draft(purchase: Purchase, hold: Hold, offer: Offer, now: datetime) -> BookingDocument:
    """
    The document of a booking of what is held, sold by *offer*, with its event waiting in its outbox.

    MongoDB's clock adds `status`, `confirmed_at` and `history` in the write.
    """
    tickets = [Ticket(**ticket, code=secrets.token_urlsafe(16)) for ticket in held_tickets(hold, offer)]
    document: BookingDocument = {
        "_id": purchase.booking_id,
        "concert_id": offer.concert_id,
        "user_id": purchase.user_id,
        "idempotency_key": purchase.idempotency_key,
        "fingerprint": purchase.fingerprint,
        "hold_id": purchase.hold_id,
        "reference": reference(purchase.booking_id),
        "concert": offer.terms["concert"],
        "items": hold.items,
        "tickets": tickets,
        "claims": offer.claims_of(hold.taken),
        "total": total(tickets),
        "schedule_version": offer.version,
        "concert_version": offer.version,
        "seq": 1,
        "sales_close_at": offer.closes,
        "cancelled_at": None,
        "confirmation_mail": CONFIRMATION_QUEUED,
    }
    document["outbox"] = [confirmed_event({**document, "confirmed_at": now}, purchase.request_id)]
    return document


def total(tickets: Sequence[Ticket] | Sequence[HeldTicket]) -> Money:
    """The sum of the tickets' prices; a concert's prices are all in one currency."""
    return Money(amount=sum(ticket["price"]["amount"] for ticket in tickets), currency=tickets[0]["price"]["currency"])


def confirmed_event(document: BookingDocument, request_id: str | None) -> Envelope:
    """Has the buyer told. However often it is made, it is the same event of the same moment."""
    data = BookingConfirmed(
        booking=as_confirmed(document),
        user_id=document["user_id"],
        sales_close_at=to_wire_or_none(document.get("sales_close_at")),
    )
    return envelope(
        SERVICE,
        "booking_confirmed",
        seq=1,
        data=dict(data),
        now=document["confirmed_at"],
        request_id=request_id,
        event_id=lasting_id(document["_id"], "booking_confirmed"),
    )


def cancelled_event(
    document: BookingDocument,
    now: datetime,
    request_id: str | None = None,
    reason: Literal["buyer", "concert_cancelled"] = "buyer",
) -> Envelope:
    """Tells that the booking's tickets are free again."""
    cancelled = {**document, "status": "cancelled", "cancelled_at": now}
    data = BookingCancelled(
        booking_id=document["_id"],
        concert_id=document["concert_id"],
        user_id=document["user_id"],
        claims=document["claims"],
        hold_id=document["hold_id"],
        booking=as_booking(cancelled),
        reason=reason,
    )
    return envelope(SERVICE, "booking_cancelled", 2, dict(data), now, request_id=request_id)


def rescheduled_event(
    document: BookingDocument, concert: ConcertSummary, now: datetime, request_id: str | None = None
) -> Envelope:
    """Tells the buyer that *concert* is what the booking is for now."""
    data = BookingRescheduled(
        booking=as_booking({**document, "concert": concert}), user_id=document["user_id"], was=document["concert"]
    )
    return envelope(SERVICE, "booking_rescheduled", 2, dict(data), now, request_id=request_id)


def reminder_event(document: BookingDocument, now: datetime, request_id: str | None = None) -> Envelope:
    """Tells the buyer that the concert is near."""
    data = BookingReminderDue(booking=as_booking(document), user_id=document["user_id"])
    return envelope(SERVICE, "booking_reminder_due", 2, dict(data), now, request_id=request_id)


def is_elsewhere(told: ConcertSummary, now: ConcertSummary) -> bool:
    """Whether a buyer who comes to the time and place that they were told is wrong there."""
    return (told["starts_at"], told["doors_at"], told["venue"]) != (now["starts_at"], now["doors_at"], now["venue"])


def as_sold(document: BookingDocument) -> SoldBooking:
    """The booking as the concert's organiser sees it."""
    return SoldBooking(**as_booking(document), user_id=document["user_id"])


def resend_confirmation(
    document: BookingDocument, closes: datetime, now: datetime, request_id: str | None
) -> tuple[Document, Envelope]:
    """
    The state of a confirmation that is to be sent again, and the event that has it sent. Sales close at *closes* now.

    Raises:
        ResentTooOften
    """
    requested: list[datetime] = document["confirmation_mail"].get("requested", [])
    latest = [moment for moment in requested if moment > now - timedelta(days=1)]
    if len(latest) >= RESENDS_A_DAY or (latest and latest[-1] > now - RESEND_PAUSE):
        raise ResentTooOften(document["_id"])
    number = len(requested) + 1
    mail = {
        **CONFIRMATION_QUEUED,
        "kind": f"resend-{number}",
        "requested": [*requested, now],
        "sales_close_at": closes,
    }
    return mail, _requested_event({**document, "confirmation_mail": mail}, request_id)


def awaited_event(document: BookingDocument) -> Envelope:
    """What has the confirmation sent that the booking waits for; the same event as the first time."""
    if not document["confirmation_mail"].get("requested"):
        return confirmed_event(document, document["history"][0]["request_id"])
    return _requested_event(document, None)


def _requested_event(document: BookingDocument, request_id: str | None) -> Envelope:
    mail = document["confirmation_mail"]
    number = len(mail["requested"])
    data = ConfirmationRequested(
        booking=as_booking(document),
        user_id=document["user_id"],
        number=number,
        sales_close_at=to_wire_or_none(mail.get("sales_close_at")),
    )
    return envelope(
        SERVICE,
        "confirmation_requested",
        seq=1 + number,
        data=dict(data),
        now=mail["requested"][-1],
        request_id=request_id,
        event_id=lasting_id(document["_id"], f"confirmation_requested:{number}"),
    )


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
        confirmation_mail={
            "state": mail["state"],
            "sent_at": to_wire_or_none(mail["sent_at"]),
            "reason": mail.get("reason"),
        },
    )


def as_confirmed(document: BookingDocument) -> Booking:
    """The booking as it was answered when it was confirmed, whatever has happened since: what a replay repeats."""
    then = {"status": "confirmed", "cancelled_at": None, "confirmation_mail": CONFIRMATION_QUEUED}
    then["concert"] = document.get("sold_as", document["concert"])
    return as_booking({**document, **then})
