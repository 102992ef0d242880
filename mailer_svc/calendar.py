"""
A booking as an entry in the buyer's calendar (iCalendar, RFC 5545).

Every version of the entry has the same UID and a higher SEQUENCE than the one before, so that a calendar replaces what
it has (RFC 5546): a change is published again, a cancelled booking is METHOD:CANCEL.
"""

from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vText

from mailer_svc.wording import Wording, one_line, place
from rabbitmq.times import from_wire


def method(booking: dict[str, Any]) -> str:
    return "CANCEL" if booking["status"] == "cancelled" else "PUBLISH"


def calendar(booking: dict[str, Any], as_of: datetime, sender: str, lasts: timedelta, wording: Wording) -> bytes:
    """
    *booking* as it was at *as_of*, as an iCalendar file from *sender*, a name with an address.

    Nobody tells when a concert ends, and without an end a calendar shows a point: it *lasts* so long.

    SEQUENCE counts the seconds from the confirmation to *as_of*: later knowledge always replaces earlier.
    """
    concert = booking["concert"]
    name, address = parseaddr(sender)
    starts_at = from_wire(concert["starts_at"]).astimezone(ZoneInfo(concert["venue"]["timezone"]))
    event = Event()
    event.add("uid", f"{booking['id']}@{address.rpartition('@')[2]}")
    event.add("sequence", max(0, int((as_of - from_wire(booking["confirmed_at"])).total_seconds())))
    event.add("dtstamp", as_of)
    event.add("dtstart", starts_at)
    event.add("dtend", starts_at + lasts)
    event.add("summary", one_line(concert["title"]))
    event.add("location", place(concert["venue"]))
    event.add("description", _description(booking, wording))
    event.add("status", "CANCELLED" if booking["status"] == "cancelled" else "CONFIRMED")
    event.add("organizer", _organizer(name, address))
    event.add("transp", "OPAQUE")
    entry = Calendar()
    entry.add("prodid", "-//Concert Tickets//EN")
    entry.add("version", "2.0")
    entry.add("calscale", "GREGORIAN")
    entry.add("method", method(booking))
    entry.add_component(event)
    # A year on both sides is all that the entry's own zone needs to tell.
    entry.add_missing_timezones(starts_at.date() - timedelta(days=366), starts_at.date() + timedelta(days=366))
    for zone in entry.walk("VTIMEZONE"):
        zone.pop("COMMENT", None)  # the library tells of those years there, in words for programmers
    return entry.to_ical()


def _description(booking: dict[str, Any], wording: Wording) -> str:
    concert = booking["concert"]
    lines = [f"{wording('reference')}: {booking['reference']}"]
    lines.append(wording("tickets", count=len(booking["tickets"])))
    if concert["doors_at"]:
        lines.append(f"{wording('doors')}: {wording.moment(concert['doors_at'], concert['venue'])}")
    return "\n".join(lines)


def _organizer(name: str, address: str) -> vCalAddress:
    organizer = vCalAddress(f"mailto:{address}")
    organizer.params["CN"] = vText(name or address)
    return organizer
