"""Booking tickets, and what one has booked."""

import base64
from typing import Any

from flask import Response

from booking_svc.contract import Booking, BookingPage
from gateway import schemas
from gateway.access import signed_in
from gateway.blueprint import Blueprint
from gateway.errors import IdempotencyKeyMissing
from gateway.idempotency import key_header, required_key
from gateway.services import services
from gateway.sessions import identity

blueprint = Blueprint("bookings", __name__, url_prefix="/v1/bookings", description=__doc__)

KEY_HEADER = key_header(
    True, "A new random text for each purchase. A request repeated with the same key gets the same booking."
)

PDF, CALENDAR = "application/pdf", "text/calendar"
FILE = {"type": "string", "format": "binary"}


@blueprint.post("")
@blueprint.doc(parameters=[KEY_HEADER])
@blueprint.arguments(schemas.NewBooking)
@blueprint.response(
    201, schemas.Booking, headers={"Location": "Location", "Idempotency-Replayed": "Idempotency-Replayed"}
)
@blueprint.refuses(IdempotencyKeyMissing)
@signed_in()
def book_tickets(body: dict[str, Any]) -> Any:
    """Book a hold, or all of the items, or nothing. The booking is confirmed at once."""
    user_id, key = identity().user_id, required_key()
    if "hold_id" in body:
        answer = services().booking.book_hold(user_id=user_id, idempotency_key=key, **body)
    else:
        answer = services().booking.book_tickets(user_id=user_id, idempotency_key=key, **body)
    headers = {"Location": f"/v1/bookings/{answer['booking']['id']}"}
    if answer["replayed"]:
        headers["Idempotency-Replayed"] = "true"
    return answer["booking"], headers


@blueprint.get("")
@blueprint.arguments(schemas.PageArguments, location="query")
@blueprint.response(200, schemas.BookingPage)
@signed_in()
def list_bookings(page: dict[str, Any]) -> BookingPage:
    """Your bookings, newest first."""
    return services().booking.list_bookings(user_id=identity().user_id, **page)


@blueprint.get("/<string:booking_id>")
@blueprint.response(200, schemas.Booking)
@signed_in()
def get_booking(booking_id: str) -> Booking:
    """One of your bookings, with the state of its confirmation mail."""
    return services().booking.get_booking(user_id=identity().user_id, booking_id=booking_id)


@blueprint.post("/<string:booking_id>/cancel")
@blueprint.response(200, schemas.Booking)
@signed_in()
def cancel_booking(booking_id: str) -> Booking:
    """Give the tickets back, while sales are open. Others can book them at once."""
    return services().booking.cancel_booking(user_id=identity().user_id, booking_id=booking_id)


@blueprint.post("/<string:booking_id>/resend-confirmation")
@blueprint.response(202, schemas.Booking)
@signed_in()
def resend_confirmation(booking_id: str) -> Booking:
    """Have the confirmation sent again, to your address as it is now; at most once a minute and five times a day."""
    return services().booking.resend_confirmation(user_id=identity().user_id, booking_id=booking_id)


@blueprint.get("/<string:booking_id>/tickets.pdf")
@blueprint.response(200, FILE, content_type=PDF)
@signed_in()
def get_tickets(booking_id: str) -> Response:
    """Your tickets, as they are in the mail: an A4 page each, with a signed QR code."""
    user_id = identity().user_id
    booking = services().booking.get_booking(user_id=user_id, booking_id=booking_id)
    encoded = services().mailer.render_tickets(user_id=user_id, booking=dict(booking))
    return _file(base64.b64decode(encoded), PDF, f"tickets-{booking['reference']}.pdf")


@blueprint.get("/<string:booking_id>/calendar.ics")
@blueprint.response(200, FILE, content_type=CALENDAR)
@signed_in()
def get_calendar(booking_id: str) -> Response:
    """The concert for your calendar. Fetched again it updates the same entry; of a cancelled booking it removes it."""
    booking = services().booking.get_booking(user_id=identity().user_id, booking_id=booking_id)
    text = services().mailer.render_calendar(booking=dict(booking))
    return _file(text.encode(), f"{CALENDAR}; charset=utf-8", f"concert-{booking['reference']}.ics")


def _file(content: bytes, content_type: str, name: str) -> Response:
    answer = Response(content, content_type=content_type)
    answer.headers["Content-Disposition"] = f'inline; filename="{name}"'
    return answer
