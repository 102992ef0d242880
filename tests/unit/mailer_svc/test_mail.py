"""The confirmation mail: its facts, twice; its headers, unforgeable; and the way to the mail server."""

import copy
import smtplib
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_svc.contract import Contact
from booking_svc.contract import Booking, Venue
from mailer_svc import mail
from mailer_svc.mail import MailServer

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MESSAGE_ID = "<b1.confirmation@example.org>"
SENDER = "Concert Tickets <tickets@example.org>"
ADA: Contact = {"email": "ada@example.org", "name": "Ada Lovelace"}
VENUE: Venue = {"name": "Konzerthaus", "city": "Berlin", "country": "DE", "timezone": "Europe/Berlin"}
BOOKING: Booking = {
    "id": "b1",
    "reference": "K7M-2QX-9TD",
    "status": "confirmed",
    "concert_id": "c1",
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
            "seat": None,
            "code": "qEv0a-first_code",
            "price": {"amount": 4500, "currency": "EUR"},
        },
        {
            "number": 2,
            "ticket_type": "balcony",
            "seat": "B-3-12",
            "code": "zZ91x-second_code",
            "price": {"amount": 1999, "currency": "EUR"},
        },
    ],
    "total": {"amount": 6499, "currency": "EUR"},
    "confirmed_at": "2026-11-23T12:00:00Z",
    "cancelled_at": None,
    "confirmation_mail": {"state": "queued", "sent_at": None},
}
FACTS = [
    "Ada Lovelace",
    "Night of the Organs",
    "Tuesday, 1 December 2026, 20:00 CET",
    "Tuesday, 1 December 2026, 19:00 CET",
    "Konzerthaus, Berlin",
    "K7M-2QX-9TD",
    "€45.00",
    "€19.99",
    "€64.99",
    "standing",
    "balcony",
    "B-3-12",
    "qEv0a-first_code",
    "zZ91x-second_code",
]


def booked(**concert: Any) -> Booking:
    booking = copy.deepcopy(BOOKING)
    booking["concert"].update(concert)  # type: ignore[typeddict-item]
    return booking


def written(booking: Booking = BOOKING, contact: Contact = ADA) -> EmailMessage:
    """The mail as its reader's program understands it after its way through SMTP."""
    sent = mail.confirmation(booking, contact, MESSAGE_ID, SENDER, NOW)
    received = message_from_bytes(sent.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert isinstance(received, EmailMessage)
    return received


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


class _Words(HTMLParser):
    """What a reader of the HTML sees, and the elements it is in."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> _Words:
    words = _Words()
    words.feed(html)
    return words


@pytest.mark.parametrize("fact", FACTS)
def test_text_and_html_tell_the_same_facts(fact: str) -> None:
    message = written()
    assert fact in body(message, "plain")
    assert fact in read(body(message, "html")).text


def test_mail_is_text_first_and_html_for_who_can_read_it() -> None:
    assert [part.get_content_type() for part in written().iter_parts()] == ["text/plain", "text/html"]


def test_concert_without_a_time_for_doors_mentions_none() -> None:
    message = written(booked(doors_at=None))
    assert "Doors" not in body(message, "plain") + body(message, "html")


def test_headers_are_what_was_given() -> None:
    message = written()
    assert message["Message-ID"] == MESSAGE_ID
    assert message["From"] == SENDER
    assert message["To"] == "Ada Lovelace <ada@example.org>"
    assert message["Subject"] == "Your tickets for Night of the Organs · K7M-2QX-9TD"
    assert message["Date"].datetime == NOW
    assert message["Auto-Submitted"] == "auto-generated"


def test_same_booking_has_the_same_message_id_each_time_it_is_written() -> None:
    assert written()["Message-ID"] == written()["Message-ID"] == MESSAGE_ID


MARKUP = '<script>alert("1")</script> & <b>Söhne</b>'


@pytest.mark.parametrize("place", ["title", "venue name", "city", "name"])
def test_markup_in_what_people_wrote_stays_text(place: str) -> None:
    booking, contact = booked(), ADA
    if place == "title":
        booking["concert"]["title"] = MARKUP
    elif place == "venue name":
        booking["concert"]["venue"]["name"] = MARKUP
    elif place == "city":
        booking["concert"]["venue"]["city"] = MARKUP
    else:
        contact = Contact(email="ada@example.org", name=MARKUP)
    message = written(booking, contact)
    html = read(body(message, "html"))
    assert not {"script", "b"} & set(html.elements)
    assert MARKUP in html.text
    assert MARKUP in body(message, "plain")


LINE_BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("line_break", LINE_BREAKS, ids=ascii)
def test_line_break_in_a_title_or_name_adds_no_header(line_break: str) -> None:
    evil = f"Organs{line_break}Bcc: all@example.org{line_break}{line_break}<h1>body</h1>"
    message = written(booked(title=evil), Contact(email="ada@example.org", name=evil))
    assert sorted(message.keys()) == sorted(written().keys())
    unfolded = " ".join(message["Subject"].split())  # a folded subject may come back with a second space
    assert unfolded == "Your tickets for Organs Bcc: all@example.org <h1>body</h1> · K7M-2QX-9TD"
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@example.org"]


any_line = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100)


@given(title=any_line, name=any_line)
def test_any_title_and_name_can_be_mailed(title: str, name: str) -> None:
    message = written(booked(title=title), Contact(email="ada@example.org", name=name))
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@example.org"]
    assert message["Message-ID"] == MESSAGE_ID


def at(zone: str) -> Venue:
    return {**VENUE, "timezone": zone}


@pytest.mark.parametrize(
    ("wire", "zone", "shown"),
    [
        ("2026-12-01T19:00:00Z", "Europe/Berlin", "Tuesday, 1 December 2026, 20:00 CET"),
        ("2026-07-01T19:00:00Z", "Europe/Berlin", "Wednesday, 1 July 2026, 21:00 CEST"),
        # Clocks go back on 25 October 2026 at 3:00: half past two comes twice.
        ("2026-10-25T00:30:00Z", "Europe/Berlin", "Sunday, 25 October 2026, 02:30 CEST"),
        ("2026-10-25T01:30:00Z", "Europe/Berlin", "Sunday, 25 October 2026, 02:30 CET"),
        ("2026-07-01T19:00:00Z", "America/New_York", "Wednesday, 1 July 2026, 15:00 EDT"),
        ("2026-07-01T19:00:00Z", "Asia/Tokyo", "Thursday, 2 July 2026, 04:00 JST"),
        ("2026-07-01T19:00:00Z", "UTC", "Wednesday, 1 July 2026, 19:00 UTC"),
    ],
)
def test_time_is_the_venues_clock_with_its_zone(wire: str, zone: str, shown: str) -> None:
    assert mail.local_time(wire, at(zone)) == shown


def test_every_time_zone_that_may_be_given_can_be_shown() -> None:
    for zone in available_timezones():
        assert " 2026, " in mail.local_time("2026-07-01T19:00:00Z", at(zone))


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (4500, "EUR", "€45.00"),
        (1, "EUR", "€0.01"),
        (0, "EUR", "€0.00"),
        (123_456_789, "EUR", "€1,234,567.89"),
        (10_000_000_000, "USD", "$100,000,000.00"),
        (4500, "JPY", "¥4,500"),
        (4500, "KWD", "KWD4.500"),
    ],
)
def test_money_has_the_decimals_of_its_currency(amount: int, currency: str, shown: str) -> None:
    assert mail.money({"amount": amount, "currency": currency}) == shown


# --- on the way to the mail server


class FakeConversation:
    """Writes down what smtplib would have been asked for."""

    def __init__(self, log: list[tuple[Any, ...]], greeting: str) -> None:
        self._log, self._greeting = log, greeting

    def __call__(self, host: str, port: int, timeout: float, **_: Any) -> "FakeConversation":
        self._log.append((self._greeting, host, port))
        return self

    def starttls(self, context: Any) -> None:
        assert context.check_hostname
        self._log.append(("starttls",))

    def login(self, user: str, password: str) -> None:
        self._log.append(("login", user, password))

    def send_message(self, message: EmailMessage) -> None:
        self._log.append(("send", message["Message-ID"]))

    def quit(self) -> None:
        self._log.append(("quit",))

    def close(self) -> None:
        self._log.append(("close",))


@pytest.fixture
def conversation(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    log: list[tuple[Any, ...]] = []
    monkeypatch.setattr(smtplib, "SMTP", FakeConversation(log, "plain"))
    monkeypatch.setattr(smtplib, "SMTP_SSL", FakeConversation(log, "tls"))
    return log


LOGIN = ("login", "ada@shop", "p:ss/w@rd")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://127.0.0.1:2525", [("plain", "127.0.0.1", 2525)]),
        ("smtp://mail.example.org", [("plain", "mail.example.org", 25)]),
        ("smtp://mail.example.org:587?starttls=true", [("plain", "mail.example.org", 587), ("starttls",)]),
        ("smtp://mail.example.org:587/?starttls=true", [("plain", "mail.example.org", 587), ("starttls",)]),
        ("smtp://mail.example.org:587?starttls=false", [("plain", "mail.example.org", 587)]),
        (
            "smtp://ada%40shop:p%3Ass%2Fw%40rd@mail.example.org:587?starttls=true",
            [("plain", "mail.example.org", 587), ("starttls",), LOGIN],
        ),
        ("smtps://ada%40shop:p%3Ass%2Fw%40rd@mail.example.org:465", [("tls", "mail.example.org", 465), LOGIN]),
        ("smtps://mail.example.org", [("tls", "mail.example.org", 465)]),
    ],
)
def test_address_of_the_mail_server_says_how_to_talk_to_it(
    url: str, expected: list[tuple[Any, ...]], conversation: list[tuple[Any, ...]]
) -> None:
    MailServer(url).send(written())
    assert conversation == [*expected, ("send", MESSAGE_ID), ("quit",), ("close",)]
