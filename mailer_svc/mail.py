"""Mails as they are written: words, HTML and its plain-text twin, tickets, calendar entry, codes, headers."""

import re
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Any, NamedTuple

from auth_svc.contract import Contact
from mailer_svc import calendar, qr
from mailer_svc.moves import move
from mailer_svc.signatures import TicketSigner
from mailer_svc.tickets import tickets_pdf
from mailer_svc.wording import DEFAULT_LANGUAGE, Wording, one_line, place, template
from rabbitmq.times import from_wire

#: A mail as it lies in a mailbox can be read by eye, which base64 cannot.
READABLE = "quoted-printable"
#: Mails about an account, and where a shop does what they ask for. The token stands behind `#`: no server logs it.
PATHS = {"password_reset": "/reset-password", "address_verification": "/verify-email"}
WITH_TICKETS = {"booking_confirmed", "booking_rescheduled", "booking_reminder"}
WITH_CALENDAR = {"booking_confirmed", "booking_rescheduled", "booking_cancelled", "concert_cancelled"}
NO_SHOP = "none"
#: As long as concert_svc has it, unless both are told otherwise.
CONCERT_LASTS = timedelta(hours=4)
#: A name that a mail program would turn into a link: anybody can register anybody's address under any name.
LINK = re.compile(r"://|www\.|\w\.\w{2}", re.IGNORECASE)


class Letter(NamedTuple):
    """What a mail is to tell."""

    document: str  #: which mail: `booking_confirmed`, `password_reset`, ...
    #: `booking`, of a rescheduled one `was`, of a new one `cancellable_until`; or `token` and `expires_at`
    data: dict[str, Any]
    as_of: datetime  #: when that was so
    message_id: str


class Writer:
    """
    Writes mails from *sender*, with tickets that *signer* signs, and links to the shop if there is one.

    In calendars a concert *lasts* so long.
    """

    def __init__(
        self, sender: str, signer: TicketSigner, shop_url: str = NO_SHOP, lasts: timedelta = CONCERT_LASTS
    ) -> None:
        self._sender = sender
        self.signer = signer
        self._lasts = lasts
        self._shop_url = None if shop_url == NO_SHOP else shop_url.rstrip("/")
        self.address = parseaddr(sender)[1]

    def write(self, letter: Letter, contact: Contact, now: datetime) -> EmailMessage:
        """The mail, complete: what a mail program shows, and what it keeps."""
        text = Wording(DEFAULT_LANGUAGE, letter.document)
        content = self._content(letter, contact, text)
        mail = EmailMessage()
        mail["Message-ID"] = letter.message_id
        mail["Date"] = format_datetime(now)
        mail["From"] = self._sender
        # One line each: a name or title with a line break can add no header.
        mail["To"] = Address(display_name=one_line(contact["name"]), addr_spec=contact["email"])
        mail["Subject"] = content["subject"]
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(template(f"{letter.document}.txt.j2").render(content), cte=READABLE)
        mail.add_alternative(template(f"{letter.document}.html.j2").render(content), subtype="html", cte=READABLE)
        if letter.document in WITH_TICKETS:
            self._add_tickets(mail, content, letter.data["booking"], contact["name"])
        if letter.document in WITH_CALENDAR:
            self._add_calendar(mail, letter.data["booking"], letter.as_of)
        return mail

    def tickets(self, booking: dict[str, Any], holder: str) -> bytes:
        """The booking's tickets as PDF."""
        return tickets_pdf(booking, holder, self.signer, Wording(DEFAULT_LANGUAGE, "tickets"))

    def calendar(self, booking: dict[str, Any], as_of: datetime) -> bytes:
        """The booking as an iCalendar file."""
        return calendar.calendar(booking, as_of, self._sender, self._lasts, Wording(DEFAULT_LANGUAGE, "calendar"))

    def _content(self, letter: Letter, contact: Contact, text: Wording) -> dict[str, Any]:
        """What the templates know."""
        shown = "" if LINK.search(contact["name"]) else one_line(contact["name"])
        content: dict[str, Any] = {"text": text, "name": shown}
        if letter.document in PATHS:
            token = letter.data["token"]
            link = self._shop_url and f"{self._shop_url}{PATHS[letter.document]}#token={token}"
            content |= {"token": token, "link": link, "until": text.utc(letter.data["expires_at"])}
            facts: dict[str, Any] = {}
        else:
            booking = letter.data["booking"]
            concert = booking["concert"]
            content |= {"booking": booking, "concert": concert, "cancellable_until": None}
            content["codes"] = [f"ticket-{t['number']}.{letter.message_id.strip('<>')}" for t in booking["tickets"]]
            facts = {
                "title": concert["title"],
                "reference": booking["reference"],
                "tickets": text("tickets", count=len(booking["tickets"])),
                "date": text.date(concert["starts_at"], concert["venue"]),
                "place": place(concert["venue"]),
            }
            if letter.document == "booking_rescheduled":
                moved = move(letter.data["was"], concert, text)
                content["lines"] = moved.lines
                facts |= {"change": text(f"new_{moved.kind}"), "has_changed": text(f"has_new_{moved.kind}")}
            until = letter.data.get("cancellable_until")
            if until and from_wire(until) > letter.as_of:
                content["cancellable_until"] = text.moment(until, concert["venue"])
        for line in ("subject", "preview", "heading"):
            content[line] = one_line(text(line, **facts))
        return content

    def _add_tickets(self, mail: EmailMessage, content: dict[str, Any], booking: dict[str, Any], holder: str) -> None:
        html = mail.get_body(("html",))
        assert isinstance(html, EmailMessage)
        for ticket, code in zip(booking["tickets"], content["codes"], strict=True):
            picture = qr.png(self.signer.sign(booking, ticket))
            html.add_related(
                picture,
                "image",
                "png",
                cid=f"<{code}>",
                disposition="inline",
                filename=f"ticket-{ticket['number']}.png",
            )
        name = f"tickets-{booking['reference']}.pdf"
        mail.add_attachment(self.tickets(booking, holder), "application", "pdf", filename=name)

    def _add_calendar(self, mail: EmailMessage, booking: dict[str, Any], as_of: datetime) -> None:
        entry = self.calendar(booking, as_of).decode()
        params = {"method": calendar.method(booking)}
        mail.add_attachment(entry, "calendar", filename="concert.ics", params=params, cte=READABLE)
