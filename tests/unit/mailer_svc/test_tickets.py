"""The tickets as PDF: a page each, with all that the door needs, and a code that a real decoder reads."""

import copy
import io
from typing import Any

import jwt
import pypdfium2
import pytest
import zxingcpp
from PIL.Image import Image

from booking_svc.contract import Booking
from mailer_svc import qr
from mailer_svc.signatures import TicketSigner
from mailer_svc.typesetting import BOLD, REGULAR, lines, runs, width
from tests.unit.mailer_svc.letters import BOOKING, SEED, WRITER, booked

A4 = (595, 842)


def pages(booking: Booking, holder: str = "Ada Lovelace") -> list[tuple[str, Image]]:
    """Each page's text, and what it looks like at 144 dots an inch."""
    document = pypdfium2.PdfDocument(WRITER.tickets(dict(booking), holder))
    return [(page.get_textpage().get_text_range(), page.render(scale=2).to_pil()) for page in document]


def scanned(picture: Image) -> str:
    [code] = zxingcpp.read_barcodes(picture)
    assert code.format == zxingcpp.BarcodeFormat.QRCode
    return code.text


def verified(token: str, signer: TicketSigner = WRITER.signer) -> Any:
    """The claims in a token, as a scanner finds them with the published keys alone."""
    keys = jwt.PyJWKSet.from_dict(dict(signer.public_keys()))
    return jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], algorithms=["EdDSA"])


def test_every_ticket_has_an_a4_page_with_all_that_the_door_needs() -> None:
    document = pypdfium2.PdfDocument(WRITER.tickets(dict(BOOKING), "Ada Lovelace"))
    assert [tuple(map(round, page.get_size())) for page in document] == [A4, A4]
    first, second = (text for text, _ in pages(BOOKING))
    for fact in (
        *("Night of the Organs", "Tuesday, 1 December 2026", "20:00 CET", "Doors 19:00 CET"),
        *("Konzerthaus, Gendarmenmarkt 1, Berlin", "Ada Lovelace", "K7M-2QX-9TD"),
    ):
        assert fact in first and fact in second
    assert "TICKET 1 OF 2" in first and "TICKET 2 OF 2" in second
    assert "1. Rang" in first and "€45.00" in first and "qEv0aXw3TtS8Yc1mR7uKpA" in first
    assert all(fact in second.split() for fact in ("Balcony", "B", "3", "12", "€19.99", "zZ91xLk4VnQ2Bd6hE0fGjg"))


def test_code_on_the_page_decodes_to_a_valid_signature_of_that_ticket() -> None:
    claims = [verified(scanned(picture)) for _, picture in pages(BOOKING)]
    common = {"concert": BOOKING["concert_id"], "booking": "K7M-2QX-9TD"}
    assert claims == [
        {**common, "code": "qEv0aXw3TtS8Yc1mR7uKpA", "number": 1, "type": "standing"},
        {**common, "code": "zZ91xLk4VnQ2Bd6hE0fGjg", "number": 2, "type": "balcony", "seat": "B-3-12"},
    ]


def test_code_is_read_from_a_poor_copy() -> None:
    """A scan in grey at 100 dots an inch, a little dark."""
    document = pypdfium2.PdfDocument(WRITER.tickets(dict(BOOKING), "Ada"))
    picture = document[0].render(scale=100 / 72).to_pil().convert("L").point(lambda grey: grey * 0.7)
    assert verified(scanned(picture))["number"] == 1


def test_code_in_the_mail_is_the_one_on_paper() -> None:
    from PIL import Image as images

    token = WRITER.signer.sign(dict(BOOKING), dict(BOOKING["tickets"][0]))
    picture = images.open(io.BytesIO(qr.png(token)))
    assert scanned(picture) == token == scanned(pages(BOOKING)[0][1])


def test_same_tickets_are_the_same_bytes() -> None:
    assert WRITER.tickets(dict(BOOKING), "Ada") == WRITER.tickets(copy.deepcopy(dict(BOOKING)), "Ada")


def size_of(fact: str, booking: Booking) -> float:
    """How large, in points, the letters are in which the last page says *fact*."""
    text = pypdfium2.PdfDocument(WRITER.tickets(dict(booking), "Ada Lovelace"))[1].get_textpage()
    return float(pypdfium2.raw.FPDFText_GetFontSize(text, text.get_text_range().index(fact)))


def test_longest_names_of_types_and_sections_are_shown_whole_and_legible() -> None:
    booking = copy.deepcopy(BOOKING)
    booking["tickets"][1].update(name="Logenplatz Mittelrang links", seat="LOGEMITTELIN-12-104")
    text = pages(booking)[1][0]
    assert all(fact in text for fact in ("Logenplatz Mittelrang links", "LOGEMITTELIN", "12", "104")), text
    assert size_of("LOGEMITTELIN", booking) >= 11
    assert size_of("Logenplatz", booking) >= 11


LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft " * 3


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        "x" * 200,
        "Ω Καλημέρα κόσμε",
        "Привет, мир — Концерт",
        "東京コンサート",
        "서울 콘서트",
        "مرحبا שלום 🎻",
        "<b>&amp;</b> (\\) %PDF",
        "\u202eevil\u0000",
    ],
)
def test_any_text_can_be_printed_and_leaves_the_code_readable(text: str) -> None:
    booking = booked(title=text, venue={**BOOKING["concert"]["venue"], "name": text, "address": text, "city": text})
    booking["tickets"][1]["name"] = text
    booking["tickets"][1]["seat"] = f"{text}-{text}-{text}"
    assert [verified(scanned(picture))["number"] for _, picture in pages(booking, text)] == [1, 2]


def test_a_hundred_tickets_are_a_hundred_pages() -> None:
    booking = copy.deepcopy(BOOKING)
    booking["tickets"] = [{**BOOKING["tickets"][0], "number": n, "code": f"code-{n:018}"} for n in range(1, 101)]
    pdf = WRITER.tickets(dict(booking), "Ada")
    document = pypdfium2.PdfDocument(pdf)
    assert len(document) == 100
    assert len(pdf) < 2_000_000
    assert verified(scanned(document[99].render(scale=2).to_pil()))["code"] == "code-" + "0" * 15 + "100"


def test_lines_are_no_longer_than_their_room_and_end_in_an_ellipsis_when_text_is_left() -> None:
    shown = lines(LONG, BOLD, 12, 200, 2)
    assert len(shown) == 2 and shown[-1].endswith("…")
    assert all(width(line, BOLD, 12) <= 200 for line in shown)
    assert lines("short", BOLD, 12, 200, 2) == ["short"]


def test_characters_that_no_font_has_are_question_marks() -> None:
    assert runs("a🎻b", REGULAR) == [(REGULAR, "a?b")]
    assert [font for font, _ in runs("a東서", REGULAR)] == [REGULAR, "STSong-Light", "HYGothic-Medium"]


def test_another_key_does_not_verify_a_ticket() -> None:
    token = WRITER.signer.sign(dict(BOOKING), dict(BOOKING["tickets"][0]))
    with pytest.raises(KeyError):
        verified(token, TicketSigner("22" * 32))
    header, payload, signature = token.split(".")
    forged = ".".join([header, payload[:-2] + ("AA" if payload[-2:] != "AA" else "BB"), signature])
    with pytest.raises(jwt.InvalidTokenError):
        verified(forged)


def test_after_a_change_of_keys_old_tickets_are_verified_and_new_ones_are_signed_anew() -> None:
    booking, ticket = dict(BOOKING), dict(BOOKING["tickets"][0])
    old = TicketSigner(SEED)
    new = TicketSigner("22" * 32, old.public_keys()["keys"][0]["x"])
    assert [key["kid"] for key in new.public_keys()["keys"]][1:] == [old.public_keys()["keys"][0]["kid"]]
    assert verified(old.sign(booking, ticket), new) == verified(new.sign(booking, ticket), new)
    assert len({key["kid"] for key in new.public_keys()["keys"]}) == 2
