"""
The guest list: who booked a concert, for its organiser; as JSON, and as CSV that a spreadsheet opens.

The CSV is UTF-8 with a byte order mark, which Excel needs to know it, and otherwise as RFC 4180 says. A cell that a
spreadsheet would take for a formula begins with an apostrophe (OWASP, "CSV Injection"): names are anybody's to choose.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from flask import Response, stream_with_context

from booking_svc.contract import Money
from concert_svc.contract import Concert
from gateway.long_lists import AT_ONCE, Page, pages
from gateway.services import Services
from rabbitmq.times import from_wire

#: What spreadsheets take for the beginning of a formula, in full width too.
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
COLUMNS = (
    *("reference", "status", "ticket", "ticket_type", "seat", "price", "currency", "buyer", "email"),
    *("confirmed_at_utc", "confirmed_at_local", "cancelled_at_utc"),
)


def page(services: Services, concert_id: str, limit: int, cursor: str | None) -> Page:
    """The concert's bookings with their buyers, newest first."""
    found = services.booking.list_concert_bookings(concert_id=concert_id, limit=limit, cursor=cursor)
    contacts = services.auth.get_contacts(user_ids=sorted({booking["user_id"] for booking in found["items"]}))
    nobody = {"name": None, "email": None}
    items = [{**b, "buyer": {"id": b["user_id"], **contacts.get(b["user_id"], nobody)}} for b in found["items"]]
    return {"items": items, "next_cursor": found["next_cursor"]}


def export(services: Services, concert: Concert) -> Response:
    """All of them as CSV, sent while it is read."""
    bookings = pages(lambda cursor: page(services, concert["id"], AT_ONCE, cursor))
    lines = stream_with_context(_lines(concert, bookings))
    response = Response(lines, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="bookings-{concert["id"]}.csv"'
    return response


def _lines(concert: Concert, bookings: Iterable[Page]) -> Iterator[bytes]:
    names = {t["code"]: t["name"] for t in concert["ticket_types"]}
    zone = ZoneInfo(concert["venue"]["timezone"])
    yield b"\xef\xbb\xbf" + _csv([COLUMNS])
    for some in bookings:
        yield _csv(row for booking in some["items"] for row in _rows(booking, names, zone))


def _rows(booking: dict[str, Any], names: dict[str, str], zone: ZoneInfo) -> Iterator[tuple[str, ...]]:
    buyer, confirmed_at = booking["buyer"], from_wire(booking["confirmed_at"])
    for ticket in booking["tickets"]:
        yield (
            booking["reference"],
            booking["status"],
            str(ticket["number"]),
            plain(ticket.get("name") or names.get(ticket["ticket_type"], ticket["ticket_type"])),
            plain(ticket["seat"] or ""),
            _decimal(ticket["price"]),
            ticket["price"]["currency"],
            plain(buyer["name"] or ""),
            plain(buyer["email"] or ""),
            f"{confirmed_at:%Y-%m-%d %H:%M:%S}",
            f"{confirmed_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
            f"{from_wire(booking['cancelled_at']):%Y-%m-%d %H:%M:%S}" if booking["cancelled_at"] else "",
        )


def plain(text: str) -> str:
    """*text* as a cell that no spreadsheet computes."""
    return f"'{text}" if text.startswith(FORMULA) or text.lstrip().startswith(FORMULA) else text


def _decimal(price: Money) -> str:
    return str(Decimal(price["amount"]).scaleb(-get_currency_precision(price["currency"])))


def _csv(rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
