"""The entry in the calendar: at the right instant, and the same entry for ever."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

import icalendar
import pytest

from booking_svc.contract import Booking
from mailer_svc.mail import Writer
from tests.unit.mailer_svc.letters import BOOKING, CANCELLED, NOW, SENDER, VENUE, WRITER, booked

LATER = NOW + timedelta(hours=1)


def calendar(booking: Booking = BOOKING, as_of: datetime = NOW) -> Any:
    return icalendar.Calendar.from_ical(WRITER.calendar(dict(booking), as_of))


def entry(booking: Booking = BOOKING, as_of: datetime = NOW) -> Any:
    [event] = calendar(booking, as_of).walk("VEVENT")
    return event


def test_entry_is_at_the_right_instant_in_the_venues_zone() -> None:
    starts_at = entry()["DTSTART"]
    assert starts_at.dt.astimezone(UTC) == datetime(2026, 12, 1, 19, 0, tzinfo=UTC)
    assert starts_at.params["TZID"] == "Europe/Berlin"


def test_entry_lasts_as_long_as_the_concert() -> None:
    """`finished` comes CONCERT_LASTS after the start."""
    assert entry()["DTEND"].dt - entry()["DTSTART"].dt == timedelta(hours=4)
    shorter = icalendar.Calendar.from_ical(
        Writer(SENDER, WRITER.signer, lasts=timedelta(hours=1)).calendar(dict(BOOKING), NOW)
    ).walk("VEVENT")[0]
    assert shorter["DTEND"].dt - shorter["DTSTART"].dt == timedelta(hours=1)


def test_entry_has_no_comments_of_the_program_that_made_it() -> None:
    assert b"COMMENT" not in WRITER.calendar(dict(BOOKING), NOW)


@pytest.mark.parametrize("wire", ["2026-10-25T00:30:00Z", "2026-07-01T19:00:00Z", "2027-03-28T01:00:00Z"])
def test_zone_in_the_file_gives_the_instant_to_who_knows_no_zones(wire: str) -> None:
    """A calendar that does not know the zone's name goes by the rules in the file."""
    file = calendar(booked(starts_at=wire))
    [rules] = file.walk("VTIMEZONE")
    [event] = file.walk("VEVENT")
    local = event["DTSTART"].dt.replace(tzinfo=rules.to_tz(lookup_tzid=False))
    assert rules["TZID"] == event["DTSTART"].params["TZID"]
    assert local.astimezone(UTC) == datetime.fromisoformat(wire)


def test_every_time_zone_that_may_be_given_has_an_entry_at_the_instant() -> None:
    for zone in sorted(available_timezones()):
        starts_at = entry(booked(venue={**VENUE, "timezone": zone}))["DTSTART"].dt
        assert starts_at.astimezone(UTC) == datetime(2026, 12, 1, 19, 0, tzinfo=UTC), zone


def test_entry_says_what_and_where() -> None:
    event = entry()
    assert event["SUMMARY"] == "Night of the Organs"
    assert event["LOCATION"] == "Konzerthaus, Gendarmenmarkt 1, Berlin"
    assert "K7M-2QX-9TD" in event["DESCRIPTION"] and "2 tickets" in event["DESCRIPTION"]


def test_a_change_and_a_cancel_replace_the_same_entry() -> None:
    moved = booked(starts_at="2026-12-02T19:00:00Z")
    versions = [calendar(), calendar(moved, LATER), calendar(CANCELLED, LATER + timedelta(seconds=1))]
    events = [version.walk("VEVENT")[0] for version in versions]
    assert {event["UID"] for event in events} == {"b1@example.org"}
    sequences = [event["SEQUENCE"] for event in events]
    assert sequences == sorted(set(sequences)) and sequences[0] == 0
    assert [version["METHOD"] for version in versions] == ["PUBLISH", "PUBLISH", "CANCEL"]
    assert [event["STATUS"] for event in events] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]


def test_entry_has_what_the_standard_demands() -> None:
    """RFC 5546, 3.2.1 and 3.2.5."""
    for version in (calendar(), calendar(CANCELLED)):
        assert (version["VERSION"], bool(version["PRODID"])) == ("2.0", True)
        assert all(name in version.walk("VEVENT")[0] for name in ("DTSTAMP", "ORGANIZER", "UID", "SEQUENCE"))


def test_line_breaks_and_commas_in_a_title_add_no_property() -> None:
    evil = "Organs\r\nATTACH:https://evil.example\r\n, ; \\ END:VEVENT"
    event = entry(booked(title=evil))
    assert "ATTACH" not in event
    assert event["SUMMARY"] == " ".join(evil.split())
