"""Tickets on paper: a PDF with one A4 page for each ticket, to print or to show."""

import io
from typing import Any

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from mailer_svc import qr
from mailer_svc.signatures import TicketSigner
from mailer_svc.typesetting import BOLD, REGULAR, draw, lines, paragraph, width
from mailer_svc.wording import Wording, one_line, place, type_name

INK, GREY, RULE, ACCENT, PAPER = map(HexColor, ("#17151f", "#6b6880", "#d8d5e3", "#3b2a78", "#ffffff"))
LEFT, RIGHT = 18 * mm, A4[0] - 18 * mm
TOP = A4[1] - 18 * mm
CARD, BAND = 132 * mm, 33 * mm  #: heights: of the ticket, of its coloured head
INNER = 8 * mm
QR = 60 * mm  #: a side, quiet zone included
STUB = RIGHT - QR - 8 * mm  #: where the part with the code begins
#: How facts side by side share the room, by their number, where each has enough; and the most that one of them gets.
SHARES = {1: (1.0,), 2: (0.5, 0.5), 3: (0.43, 0.35, 0.22)}
GAP, MOST = 2 * mm, 0.6
SMALL, NORMAL, LARGE, TITLE = 8.0, 11.0, 15.0, 21.0


def tickets_pdf(booking: dict[str, Any], holder: str, signer: TicketSigner, wording: Wording) -> bytes:
    """The booking's tickets, the same bytes for the same booking, holder and key."""
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=1, pageCompression=1)
    canvas.setTitle(f"{one_line(booking['concert']['title'])} · {booking['reference']}")
    canvas.setAuthor("Concert Tickets")
    canvas.setSubject(wording("tickets", count=len(booking["tickets"])))
    for ticket in booking["tickets"]:
        _page(canvas, booking, ticket, one_line(holder), signer.sign(booking, ticket), wording)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def _page(
    canvas: Canvas, booking: dict[str, Any], ticket: dict[str, Any], holder: str, token: str, wording: Wording
) -> None:
    canvas.setLineWidth(0.8)
    canvas.saveState()
    outline = canvas.beginPath()
    outline.roundRect(LEFT, TOP - CARD, RIGHT - LEFT, CARD, 4 * mm)
    canvas.clipPath(outline, stroke=0)
    canvas.setFillColor(ACCENT)
    canvas.rect(LEFT, TOP - BAND, RIGHT - LEFT, BAND, stroke=0, fill=1)
    canvas.restoreState()
    canvas.setStrokeColor(RULE)
    canvas.roundRect(LEFT, TOP - CARD, RIGHT - LEFT, CARD, 4 * mm)
    _head(canvas, booking, ticket, wording)
    _facts(canvas, booking, ticket, holder, wording)
    _stub(canvas, booking, ticket, token, wording)
    _notes(canvas, wording)


def _head(canvas: Canvas, booking: dict[str, Any], ticket: dict[str, Any], wording: Wording) -> None:
    concert = booking["concert"]
    counted = wording("ticket_of", number=ticket["number"], count=len(booking["tickets"])).upper()
    canvas.setFillColor(PAPER)
    title, room, size = one_line(concert["title"]), RIGHT - LEFT - 2 * INNER, TITLE
    while size > 15 and len(lines(title, BOLD, size, room, 9)) > 1:
        size -= 1
    shown = lines(title, BOLD, size, room, 2)
    draw(canvas, LEFT + INNER, TOP - 9 * mm, counted, BOLD, SMALL)
    y = TOP - (21.5 if len(shown) == 1 else 18.5) * mm
    for line in shown:
        draw(canvas, LEFT + INNER, y, line, BOLD, size)
        y -= size * 1.25


def _facts(canvas: Canvas, booking: dict[str, Any], ticket: dict[str, Any], holder: str, wording: Wording) -> None:
    concert, venue = booking["concert"], booking["concert"]["venue"]
    x, room = LEFT + INNER, STUB - LEFT - 2 * INNER
    y = TOP - BAND - 9 * mm
    y = _fact(canvas, x, y, room, wording("when"), wording.date(concert["starts_at"], venue), LARGE)
    times = [wording("starts_at_time", time=wording.time(concert["starts_at"], venue))]
    if concert["doors_at"]:
        times.append(wording("doors_at_time", time=wording.time(concert["doors_at"], venue)))
    y = paragraph(canvas, x, y + 1 * mm, " · ".join(times), REGULAR, NORMAL, room, 2) - 3 * mm
    y = _fact(canvas, x, y, room, wording("where"), place(venue), NORMAL, most=2, smallest=NORMAL) - 4 * mm
    y = _fact(canvas, x, y, room, wording("type"), type_name(ticket), LARGE, most=2, smallest=NORMAL) - 3 * mm
    if ticket["seat"]:
        parts = ticket["seat"].rsplit("-", 2)
        labels = ("section", "row", "seat")[-len(parts) :]
        named = [(wording(label), part) for label, part in zip(labels, parts, strict=True)]
        _columns(canvas, x, y, room, named, LARGE)
    facts = [
        (wording("holder"), holder),
        (wording("reference"), booking["reference"]),
        (wording("price"), wording.money(ticket["price"])),
    ]
    _columns(canvas, x, TOP - CARD + 15 * mm, room, facts, NORMAL)


def _fact(
    canvas: Canvas,
    x: float,
    y: float,
    room: float,
    label: str,
    value: str,
    size: float,
    most: int = 1,
    smallest: float = SMALL,
) -> float:
    """A label, and below it the value: in one line as large as it fits, else of the *smallest* size in *most* lines."""
    canvas.setFillColor(GREY)
    draw(canvas, x, y, label, REGULAR, SMALL)
    canvas.setFillColor(INK)
    while size > smallest and width(value, BOLD, size) > room:
        size -= 0.5
    return paragraph(canvas, x, y - size * 1.25, value, BOLD, size, room, most)


def _columns(canvas: Canvas, x: float, y: float, room: float, named: list[tuple[str, str]], size: float) -> None:
    """Facts side by side, each with its share of the room."""
    for (label, value), share in zip(named, _shares(named, size, room), strict=True):
        _fact(canvas, x, y, room * share - GAP, label, value, size)
        x += room * share


def _shares(named: list[tuple[str, str]], size: float, room: float) -> tuple[float, ...]:
    """As usual, unless one does not fit: then as each needs, so that a long name is not set tiny beside empty room."""
    needs = [max(width(value, BOLD, size), width(label, REGULAR, SMALL)) + GAP for label, value in named]
    usual = SHARES[len(named)]
    if all(need <= share * room for need, share in zip(needs, usual, strict=True)):
        return usual
    needs = [min(need, MOST * room) for need in needs]
    return tuple(need / sum(needs) for need in needs)


def _stub(canvas: Canvas, booking: dict[str, Any], ticket: dict[str, Any], token: str, wording: Wording) -> None:
    top, bottom = TOP - BAND, TOP - CARD
    canvas.saveState()
    canvas.setStrokeColor(RULE)
    canvas.setDash(2, 3)
    canvas.line(STUB, top, STUB, bottom)
    canvas.restoreState()
    x, y = STUB + (RIGHT - STUB - QR) / 2, top - 5 * mm - QR
    modules = qr.matrix(token)
    module = QR / len(modules)
    canvas.setFillColor(INK)
    code = canvas.beginPath()
    for column, row, length in qr.dark_runs(modules):
        code.rect(x + column * module, y + QR - (row + 1) * module, length * module, module)
    canvas.drawPath(code, stroke=0, fill=1)
    canvas.setFillColor(GREY)
    middle = STUB + (RIGHT - STUB) / 2
    for line, text, font, size in (
        (y - 2.5 * mm, ticket["code"], REGULAR, 7.0),
        (y - 8.5 * mm, wording("scan_once"), REGULAR, SMALL),
    ):
        draw(canvas, middle - width(text, font, size) / 2, line, text, font, size)


def _notes(canvas: Canvas, wording: Wording) -> None:
    y = TOP - CARD - 14 * mm
    canvas.setFillColor(INK)
    draw(canvas, LEFT, y, wording("notes_title"), BOLD, NORMAL)
    y -= 6.5 * mm
    canvas.setFillColor(GREY)
    for note in ("note_show", "note_secret", "note_cancel"):
        draw(canvas, LEFT, y, "–", REGULAR, 9)
        y = paragraph(canvas, LEFT + 4 * mm, y, wording(note), REGULAR, 9, RIGHT - LEFT - 4 * mm, 3) - 1 * mm
