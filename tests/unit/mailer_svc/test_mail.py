"""The mails: their facts, twice; their parts; their headers, unforgeable."""

import copy
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth_svc.contract import Contact
from booking_svc.contract import Venue
from mailer_svc.mail import Letter, Writer
from mailer_svc.signatures import TicketSigner
from tests.unit.mailer_svc.letters import (
    ADA,
    BOOKING,
    DATA,
    MESSAGE_ID,
    NOW,
    SEED,
    SENDER,
    TOKEN,
    VENUE,
    WRITER,
    booked,
    letter,
)

EVERY_MAIL = pytest.mark.parametrize("document", DATA)
CONCERT = ["Night of the Organs", "Tuesday, 1 December 2026, 20:00 CET", "Konzerthaus, Gendarmenmarkt 1, Berlin"]
TICKETS = [
    *("K7M-2QX-9TD", "€45.00", "€19.99", "€64.99", "1. Rang", "Balcony", "Seat B-3-12"),
    *("qEv0aXw3TtS8Yc1mR7uKpA", "zZ91xLk4VnQ2Bd6hE0fGjg", "Tuesday, 1 December 2026, 19:00 CET"),
]
#: What each mail must say to whoever reads either part of it.
FACTS = {
    "booking_confirmed": [
        "Your booking is confirmed.",
        "can be cancelled until sales close, Tuesday, 1 December 2026, 19:30 CET.",
        *(*CONCERT, *TICKETS),
    ],
    "booking_cancelled": ["Your booking is cancelled.", *CONCERT, "K7M-2QX-9TD", "€64.99"],
    "concert_cancelled": ["The concert does not take place.", *CONCERT, "K7M-2QX-9TD", "€64.99"],
    "booking_rescheduled": [
        *("Tuesday, 28 July 2026, 20:30 CEST", "Tempodrom, Möckernstraße 10, Berlin"),
        *(*CONCERT, *TICKETS),
    ],
    "booking_reminder": [*CONCERT, *TICKETS],
    "password_reset": [TOKEN["token"], "Monday, 23 November 2026, 13:00 UTC"],
    "address_verification": [TOKEN["token"], "Monday, 23 November 2026, 13:00 UTC"],
}
GONE = ["qEv0aXw3TtS8Yc1mR7uKpA", "zZ91xLk4VnQ2Bd6hE0fGjg"]


def written(of: Letter | None = None, contact: Contact = ADA, writer: Writer = WRITER) -> EmailMessage:
    """The mail as its reader's program understands it after its way through SMTP."""
    sent = writer.write(of or letter(), contact, NOW)
    received = message_from_bytes(sent.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert isinstance(received, EmailMessage)
    return received


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


class _Words(HTMLParser):
    """What a reader of the HTML sees, the elements it is in, and where they lead."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> _Words:
    words = _Words()
    words.feed(html)
    return words


@pytest.mark.parametrize(("document", "fact"), [(document, fact) for document in DATA for fact in FACTS[document]])
def test_text_and_html_tell_the_same_facts(document: str, fact: str) -> None:
    message = written(letter(document))
    assert fact in body(message, "plain")
    assert fact in read(body(message, "html")).text


@EVERY_MAIL
def test_every_mail_greets_its_reader_and_says_what_it_is(document: str) -> None:
    message = written(letter(document))
    assert "Hello Ada Lovelace," in body(message, "plain")
    assert "Hello Ada Lovelace," in read(body(message, "html")).text
    assert message["Subject"]
    assert document in FACTS


@EVERY_MAIL
def test_signature_is_set_apart_as_mail_programs_know_it(document: str) -> None:
    """RFC 3676, 4.3: two dashes and a space."""
    plain = "\n".join(body(written(letter(document)), "plain").splitlines())
    assert plain.count("\n\n-- \n") == 1
    assert "\n\n\n" not in plain


@pytest.mark.parametrize("document", ["booking_confirmed", "booking_reminder"])
def test_note_below_the_sum_is_a_paragraph_of_its_own(document: str) -> None:
    assert "€64.99\n\nKeep the codes" in "\n".join(body(written(letter(document)), "plain").splitlines())


@EVERY_MAIL
def test_every_mail_adapts_to_phones_and_to_the_dark(document: str) -> None:
    html = body(written(letter(document)), "html")
    assert 'name="viewport"' in html and "@media (max-width: 480px)" in html
    assert 'name="color-scheme" content="light dark"' in html and "prefers-color-scheme: dark" in html


@EVERY_MAIL
def test_no_mail_loads_anything_from_elsewhere(document: str) -> None:
    """A picture from a server would tell when it is read, and be missing in most mail programs."""
    message = written(letter(document))
    links = read(body(message, "html")).links
    inside = {f"cid:{part['Content-ID'].strip('<>')}" for part in message.walk() if part["Content-ID"]}
    assert set(links) == inside


def parts(message: EmailMessage) -> list[tuple[str, str | None]]:
    return [(part.get_content_type(), part.get_filename()) for part in message.walk() if not part.is_multipart()]


TEXTS: list[tuple[str, str | None]] = [("text/plain", None), ("text/html", None)]
CODES: list[tuple[str, str | None]] = [("image/png", "ticket-1.png"), ("image/png", "ticket-2.png")]
PDF: tuple[str, str | None] = ("application/pdf", "tickets-K7M-2QX-9TD.pdf")
ICS: tuple[str, str | None] = ("text/calendar", "concert.ics")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("booking_confirmed", [*TEXTS, *CODES, PDF, ICS]),
        ("booking_rescheduled", [*TEXTS, *CODES, PDF, ICS]),
        ("booking_reminder", [*TEXTS, *CODES, PDF]),
        ("booking_cancelled", [*TEXTS, ICS]),
        ("concert_cancelled", [*TEXTS, ICS]),
        ("password_reset", TEXTS),
        ("address_verification", TEXTS),
    ],
)
def test_mail_carries_what_its_reader_needs(document: str, expected: list[tuple[str, str | None]]) -> None:
    assert parts(written(letter(document))) == expected


@pytest.mark.parametrize("document", ["booking_cancelled", "concert_cancelled"])
def test_mail_about_a_cancellation_promises_no_money_and_says_whom_to_ask(document: str) -> None:
    """There are no refunds yet."""
    message = written(letter(document))
    plain, html = body(message, "plain"), read(body(message, "html")).text
    assert "Cancelled: €64.99" in plain
    for text in (plain, html):
        assert "Please ask the organiser of the concert" in text
        assert "given back" not in text.lower() and "refund" not in text.lower()


@pytest.mark.parametrize("document", ["booking_cancelled", "concert_cancelled"])
def test_mail_about_tickets_that_are_no_longer_good_shows_no_code(document: str) -> None:
    message = written(letter(document))
    assert not [code for code in GONE if code in message.as_string()]


@pytest.mark.parametrize("until", [None, "2026-11-23T12:00:00Z"])
def test_confirmation_does_not_offer_to_cancel_what_cannot_be(until: str | None) -> None:
    message = written(letter(cancellable_until=until))
    assert "cancelled" not in body(message, "plain") + body(message, "html")


AT_EIGHT, AT_TEN = "Tuesday, 1 December 2026, 20:00 CET", "Tuesday, 1 December 2026, 22:00 CET"
HERE, THERE = "Konzerthaus, Gendarmenmarkt 1, Berlin", "Tempodrom, Gendarmenmarkt 1, Berlin"
TEMPODROM: Venue = {**VENUE, "name": "Tempodrom"}
LATER = "2026-12-01T21:00:00Z"


@pytest.mark.parametrize(
    ("change", "subject", "heading", "struck"),
    [
        ({"starts_at": LATER}, "New time:", "has a new time.", [AT_TEN]),
        ({"venue": TEMPODROM}, "New place:", "is at a new place.", [THERE]),
        ({"starts_at": LATER, "venue": TEMPODROM}, "New time and place:", "a new time and place.", [AT_TEN, THERE]),
        ({"doors_at": LATER}, "New time of doors:", "doors open at a new time.", [f"Doors: {AT_TEN}"]),
        ({"doors_at": None}, "New time of doors:", "doors open at a new time.", []),
    ],
)
def test_mail_about_a_move_says_what_changed_and_strikes_only_that(
    change: dict[str, Any], subject: str, heading: str, struck: list[str]
) -> None:
    was = {**BOOKING["concert"], **change}
    message = written(letter("booking_rescheduled", was=was))
    html, plain = body(message, "html"), body(message, "plain")
    assert message["Subject"].startswith(subject)
    assert heading in plain and heading in read(html).text
    assert re.findall(r'<s class="was">(.*?)</s>', html) == struck
    assert all(old in plain for old in struck)
    assert f"Now: {AT_EIGHT}" in plain and HERE in plain


def test_calendar_says_in_its_header_what_it_does() -> None:
    methods = [
        part.get_param("method")
        for document in ("booking_confirmed", "booking_cancelled")
        for part in written(letter(document)).walk()
        if part.get_content_type() == "text/calendar"
    ]
    assert methods == ["PUBLISH", "CANCEL"]


def test_attached_tickets_are_those_that_the_api_gives() -> None:
    [attached] = [p.get_content() for p in written().walk() if p.get_content_type() == "application/pdf"]
    assert attached == WRITER.tickets(dict(BOOKING), ADA["name"])


def test_concert_without_a_time_for_doors_mentions_none() -> None:
    message = written(letter(booking=booked(doors_at=None)))
    assert "Doors" not in body(message, "plain") + body(message, "html")


def test_headers_are_what_was_given() -> None:
    message = written()
    assert message["Message-ID"] == MESSAGE_ID
    assert message["From"] == SENDER
    assert message["To"] == "Ada Lovelace <ada@example.org>"
    assert message["Subject"] == "Your tickets for Night of the Organs · K7M-2QX-9TD"
    assert message["Date"].datetime == NOW
    assert message["Auto-Submitted"] == "auto-generated"


@EVERY_MAIL
def test_a_link_leads_to_the_shop_where_there_is_one(document: str) -> None:
    writer = Writer(SENDER, TicketSigner(SEED), "https://shop.example/")
    message = written(letter(document), writer=writer)
    links = [link for link in read(body(message, "html")).links if not link.startswith("cid:")]
    paths = {"password_reset": "reset-password", "address_verification": "verify-email"}
    expected = [f"https://shop.example/{paths[document]}#token={TOKEN['token']}"] if document in paths else []
    assert links == expected
    assert all(link in body(message, "plain") for link in expected)


MARKUP = '<script>alert("1")</script> & <b>Söhne</b> {{ 7 * 7 }} {title} %s'
PLACES = ["title", "venue name", "city", "address", "name", "type name", "ticket type", "seat"]


@EVERY_MAIL
@pytest.mark.parametrize("place", PLACES)
def test_markup_in_what_people_wrote_stays_text(place: str, document: str) -> None:
    data, contact = copy.deepcopy(DATA[document]), ADA
    if place == "name":
        contact = Contact(email="ada@example.org", name=MARKUP)
    elif "booking" not in data:
        return
    elif place == "title":
        data["booking"]["concert"]["title"] = MARKUP
    elif place == "type name":
        data["booking"]["tickets"][0]["name"] = MARKUP
    elif place in ("ticket type", "seat"):
        data["booking"]["tickets"][1][place.replace("ticket type", "ticket_type")] = MARKUP
    else:
        data["booking"]["concert"]["venue"][place.removeprefix("venue ")] = MARKUP
    message = written(letter(document, **data), contact)
    html = read(body(message, "html"))
    assert not {"script", "b"} & set(html.elements)
    assert MARKUP.lower() in html.text.lower()
    assert MARKUP.lower() in body(message, "plain").lower()


@pytest.mark.parametrize("name", ["https://evil.example", "win at www.evil.example", "evil.example", "x://y"])
def test_name_that_would_become_a_link_is_no_greeting(name: str) -> None:
    """Anybody can register anybody's address, under a name that advertises."""
    for document in DATA:
        message = written(letter(document), Contact(email="ada@example.org", name=name))
        assert name not in body(message, "plain") + body(message, "html")
        assert "Hello," in body(message, "plain")


LINE_BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("line_break", LINE_BREAKS, ids=ascii)
def test_line_break_in_a_title_or_name_adds_no_header(line_break: str) -> None:
    evil = f"Organs{line_break}Bcc: all@example.org{line_break}{line_break}<h1>body</h1>"
    message = written(letter(booking=booked(title=evil)), Contact(email="ada@example.org", name=evil))
    assert sorted(message.keys()) == sorted(written().keys())
    unfolded = " ".join(message["Subject"].split())  # a folded subject may come back with a second space
    assert unfolded == "Your tickets for Organs Bcc: all@example.org <h1>body</h1> · K7M-2QX-9TD"
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@example.org"]


any_line = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100)


@settings(max_examples=40)
@given(title=any_line, name=any_line)
def test_any_title_and_name_can_be_mailed(title: str, name: str) -> None:
    message = written(letter(booking=booked(title=title)), Contact(email="ada@example.org", name=name))
    assert [address.addr_spec for address in message["To"].addresses] == ["ada@example.org"]
    assert message["Message-ID"] == MESSAGE_ID
