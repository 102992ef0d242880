"""Bookings, buyers and letters as the mailer's tests use them."""

import copy
from datetime import UTC, datetime
from typing import Any

from auth_svc.contract import Contact
from booking_svc.contract import Booking, ConcertSummary, Venue
from mailer_svc.mail import Letter, Writer
from mailer_svc.signatures import TicketSigner

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MESSAGE_ID = "<b1.confirmation@example.org>"
SENDER = "Concert Tickets <tickets@example.org>"
SEED = "11" * 32
WRITER = Writer(SENDER, TicketSigner(SEED))
ADA: Contact = {"email": "ada@example.org", "name": "Ada Lovelace"}
VENUE: Venue = {
    "name": "Konzerthaus",
    "city": "Berlin",
    "country": "DE",
    "timezone": "Europe/Berlin",
    "address": "Gendarmenmarkt 1",
}
BOOKING: Booking = {
    "id": "b1",
    "reference": "K7M-2QX-9TD",
    "status": "confirmed",
    "concert_id": "c0ffee12-1234-4123-8123-abcdefabcdef",
    "concert": {
        "title": "Night of the Organs",
        "starts_at": "2026-12-01T19:00:00Z",
        "doors_at": "2026-12-01T18:00:00Z",
        "venue": VENUE,
    },
    "items": [{"ticket_type": "standing", "quantity": 1}, {"ticket_type": "balcony", "quantity": 1}],
    "tickets": [
        {
            "number": 1,
            "ticket_type": "standing",
            "name": "1. Rang",
            "seat": None,
            "code": "qEv0aXw3TtS8Yc1mR7uKpA",
            "price": {"amount": 4500, "currency": "EUR"},
        },
        {
            "number": 2,
            "ticket_type": "balcony",
            "seat": "B-3-12",
            "code": "zZ91xLk4VnQ2Bd6hE0fGjg",
            "price": {"amount": 1999, "currency": "EUR"},
        },
    ],
    "total": {"amount": 6499, "currency": "EUR"},
    "confirmed_at": "2026-11-23T12:00:00Z",
    "cancelled_at": None,
    "confirmation_mail": {"state": "queued", "sent_at": None, "reason": None},
}
CANCELLED: Booking = {**BOOKING, "status": "cancelled", "cancelled_at": "2026-11-24T12:00:00Z"}
WAS: ConcertSummary = {
    **BOOKING["concert"],
    "starts_at": "2026-07-28T18:30:00Z",
    "venue": {**VENUE, "name": "Tempodrom", "address": "Möckernstraße 10"},
}
TOKEN = {"token": "rT8sQ2vXw1Yz5Ab7Cd9EfGhIjKlMnOpQrStUvWxYz01", "expires_at": "2026-11-23T13:00:00Z"}
#: What each mail is about.
DATA: dict[str, dict[str, Any]] = {
    "booking_confirmed": {"booking": BOOKING, "cancellable_until": "2026-12-01T18:30:00Z"},
    "booking_cancelled": {"booking": CANCELLED},
    "concert_cancelled": {"booking": CANCELLED},
    "booking_rescheduled": {"booking": BOOKING, "was": WAS},
    "booking_reminder": {"booking": BOOKING},
    "password_reset": TOKEN,
    "address_verification": TOKEN,
}


def letter(document: str = "booking_confirmed", as_of: datetime = NOW, **data: Any) -> Letter:
    return Letter(document, copy.deepcopy({**DATA[document], **data}), as_of, MESSAGE_ID)


def booked(**concert: Any) -> Booking:
    """The booking, of a concert with these changes."""
    booking = copy.deepcopy(BOOKING)
    booking["concert"].update(concert)  # type: ignore[typeddict-item]
    return booking
