"""Mails: written from templates, handed to the mail server that SMTP_URL names."""

import smtplib
import ssl
from contextlib import suppress
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from babel.dates import format_datetime as format_local
from babel.numbers import format_currency, get_currency_precision
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from auth_svc.contract import Contact
from booking_svc.contract import Booking, Money, Venue
from rabbitmq.times import from_wire

#: Seconds for each step of the conversation with the mail server.
PATIENCE = 10
LOCALE = "en"
#: A mail as it lies in a mailbox can be read by eye, which base64 cannot.
READABLE = "quoted-printable"


def money(value: Money) -> str:
    """`{"amount": 4500, "currency": "EUR"}` -> `€45.00`."""
    minor = 10 ** get_currency_precision(value["currency"])
    return str(format_currency(value["amount"] / minor, value["currency"], locale=LOCALE))


def local_time(wire: str, venue: Venue) -> str:
    """A moment as the venue's clock shows it, with its zone: `Tuesday, 1 December 2026, 20:00 CET`."""
    moment = from_wire(wire).astimezone(ZoneInfo(venue["timezone"]))
    day_and_time = format_local(moment, "EEEE, d MMMM y, HH:mm", tzinfo=moment.tzinfo, locale=LOCALE)
    return f"{day_and_time} {moment.tzname()}"


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(money=money, local_time=local_time)


def confirmation(booking: Booking, contact: Contact, message_id: str, sender: str, now: datetime) -> EmailMessage:
    """The mail that says a booking is confirmed: plain text, and the same in HTML."""
    concert = booking["concert"]
    mail = EmailMessage()
    mail["Message-ID"] = message_id
    mail["Date"] = format_datetime(now)
    mail["From"] = sender
    # One line each: a name or title with a line break can add no header.
    mail["To"] = Address(display_name=_one_line(contact["name"]), addr_spec=contact["email"])
    mail["Subject"] = _one_line(f"Your tickets for {concert['title']} · {booking['reference']}")
    mail["Auto-Submitted"] = "auto-generated"
    content: dict[str, Any] = {"booking": booking, "concert": concert, "contact": contact}
    text, html = (_templates.get_template(f"booking_confirmed.{kind}.j2").render(content) for kind in ("txt", "html"))
    mail.set_content(text, cte=READABLE)
    mail.add_alternative(html, subtype="html", cte=READABLE)
    return mail


def _one_line(text: str) -> str:
    return " ".join(text.split())


class MailServer:
    """
    The server at *url*: `smtp://host:port`, `smtp://user:password@host:587?starttls=true`, `smtps://...`.

    TLS is verified where it is used.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._implicit_tls = parts.scheme == "smtps"
        self._port = parts.port or (465 if self._implicit_tls else 25)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._starttls = parse_qs(parts.query).get("starttls") == ["true"]

    def send(self, mail: EmailMessage) -> None:
        """
        Hand *mail* over; when this returns, the server has taken it.

        Raises:
            smtplib.SMTPException, OSError: it has not, or nobody knows.
        """
        server = self._connect()
        try:
            if self._starttls:
                server.starttls(context=ssl.create_default_context())
            if self._user:
                server.login(self._user, self._password)
            server.send_message(mail)
            with suppress(OSError):  # taken is taken, however the server says goodbye
                server.quit()
        finally:
            server.close()

    def _connect(self) -> smtplib.SMTP:
        if self._implicit_tls:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self._host, self._port, timeout=PATIENCE, context=context)
        return smtplib.SMTP(self._host, self._port, timeout=PATIENCE)
