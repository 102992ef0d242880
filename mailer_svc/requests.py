"""Which mail each event asks for. Pure: the same event asks for the same mail, however often it comes."""

from datetime import timedelta
from typing import Any

from mailer_svc.ledger import Request
from rabbitmq.outbox import Envelope
from rabbitmq.times import from_wire

CONFIRMATION = "confirmation"
RESEND = "resend"


def confirmation(event: Envelope) -> Request:
    """Of a confirmed booking; the only mail that the booking waits for, beside those that are sent again."""
    return _about_booking(event, CONFIRMATION, "booking_confirmed", **_cancellable(event))


def resend(event: Envelope) -> Request:
    """The confirmation once more, as its buyer wished: a mail of its own, told as the booking is now."""
    return _about_booking(
        event, f"{RESEND}-{event['data']['number']}", "booking_confirmed", urgent=True, **_cancellable(event)
    )


def cancellation(event: Envelope) -> Request:
    """Of a booking that its buyer, or the organiser with the whole concert, has cancelled."""
    called_off = event["data"].get("reason") == "concert_cancelled"
    return _about_booking(event, "cancellation", "concert_cancelled" if called_off else "booking_cancelled")


def rescheduling(event: Envelope) -> Request:
    """Of a concert at another time or place: a mail for each change."""
    was = event["data"]["was"]
    return _about_booking(event, f"reschedule-{event['event_id'][:8]}", "booking_rescheduled", was=was)


def reminder(event: Envelope) -> Request:
    """The day before; one for each time at which the concert was to start, and of no use after that."""
    starts_at = from_wire(event["data"]["booking"]["concert"]["starts_at"])
    kind = f"reminder-{starts_at:%Y%m%d%H%M}"
    return _about_booking(event, kind, "booking_reminder")._replace(until=starts_at)


def password_reset(event: Envelope) -> Request:
    return _about_account(event, "password-reset", "password_reset")


def address_verification(event: Envelope) -> Request:
    return _about_account(event, "address-verification", "address_verification")


def is_confirmation(kind: str) -> bool:
    """Whether the booking shows how this mail ended."""
    return kind == CONFIRMATION or kind.startswith(f"{RESEND}-")


def _cancellable(event: Envelope) -> dict[str, Any]:
    """Until when; events of old do not say it."""
    return {"cancellable_until": event["data"].get("sales_close_at")}


def _about_booking(event: Envelope, kind: str, document: str, urgent: bool = False, **more: Any) -> Request:
    booking = event["data"]["booking"]
    return Request(
        about=booking["id"],
        kind=kind,
        document=document,
        user_id=event["data"]["user_id"],
        data={"booking": booking, **more},
        as_of=_occurred_at(event),
        booking_id=booking["id"],
        urgent=urgent,
        request_id=event.get("request_id"),
        event_id=event["event_id"],
    )


def _about_account(event: Envelope, kind: str, document: str) -> Request:
    """Each request is a mail of its own; once its token has expired nobody needs it."""
    data = event["data"]
    return Request(
        about=event["event_id"],
        kind=kind,
        document=document,
        user_id=data["user_id"],
        data={"token": data["token"], "expires_at": data["expires_at"]},
        as_of=_occurred_at(event),
        urgent=True,
        until=from_wire(data["expires_at"]) - timedelta(minutes=1),
        request_id=event.get("request_id"),
    )


def _occurred_at(event: Envelope) -> Any:
    told = event["occurred_at"]
    return from_wire(told) if isinstance(told, str) else told
