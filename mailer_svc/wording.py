"""Words, and how they are put: the texts of each language (texts/*.toml), amounts, dates, and mails' templates."""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_currency, get_currency_precision
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from booking_svc.contract import Money, Venue
from rabbitmq.times import from_wire

HERE = Path(__file__).parent
TEXTS = HERE / "texts"
DEFAULT_LANGUAGE = "en"
#: Texts that every mail and document may use.
COMMON = "common"

_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class UnknownText(LookupError):
    """A template asks for a text that the language does not have."""


class Wording:
    """The words of one *language* for one *document* (a section of the language's file)."""

    def __init__(self, language: str, document: str) -> None:
        self._locale = Locale.parse(language, sep="-")
        texts = texts_of(language)
        self._texts: dict[str, Any] = {**texts[COMMON], **texts.get(document, {})}
        self.language = language

    def __call__(self, key: str, /, **values: Any) -> str:
        """
        The text *key* with its {places} filled. One with forms for numbers takes that of *count*.

        Raises:
            UnknownText
        """
        if key not in self._texts:
            raise UnknownText(key)
        text = self._texts[key]
        if isinstance(text, dict):
            text = text.get(self._locale.plural_form(values["count"]), text["other"])
        return str(text).format(**values)

    def money(self, value: Money) -> str:
        """`{"amount": 4500, "currency": "EUR"}` -> `€45.00`."""
        minor = 10 ** get_currency_precision(value["currency"])
        return str(format_currency(value["amount"] / minor, value["currency"], locale=self._locale))

    def date(self, wire: str, venue: Venue) -> str:
        """The day at the venue: `Tuesday, 1 December 2026`."""
        return str(format_date(_there(wire, venue), self("date_format"), locale=self._locale))

    def time(self, wire: str, venue: Venue) -> str:
        """The time on the venue's clock, with its zone: `20:00 CET`."""
        moment = _there(wire, venue)
        zone = moment.tzname() or ""
        shown = zone if zone[:1].isalpha() else f"UTC{zone}"
        return f"{format_time(moment, self('time_format'), locale=self._locale)} {shown}"

    def utc(self, wire: str) -> str:
        """A moment that belongs to no place: `Tuesday, 1 December 2026, 19:00 UTC`."""
        moment = from_wire(wire)
        return ", ".join(
            (
                format_date(moment, self("date_format"), locale=self._locale),
                f"{format_time(moment, self('time_format'), locale=self._locale)} UTC",
            )
        )

    def moment(self, wire: str, venue: Venue) -> str:
        """`Tuesday, 1 December 2026, 20:00 CET`."""
        return f"{self.date(wire, venue)}, {self.time(wire, venue)}"


def _there(wire: str, venue: Venue) -> datetime:
    return from_wire(wire).astimezone(ZoneInfo(venue["timezone"]))


@cache
def texts_of(language: str) -> Mapping[str, Mapping[str, Any]]:
    """
    Every text of a language.

    Raises:
        FileNotFoundError: nobody has written its file yet.
    """
    return tomllib.loads((TEXTS / f"{language}.toml").read_text())


@cache
def template(name: str) -> Template:
    return _templates.get_template(name)


def one_line(text: str) -> str:
    """*text* without line breaks: a name or title with one can add no header and no line."""
    return " ".join(text.split())


def place(venue: Venue) -> str:
    """`Konzerthaus, Gendarmenmarkt 1, Berlin`."""
    return ", ".join(one_line(part) for part in (venue["name"], venue.get("address"), venue["city"]) if part)


def type_name(ticket: Mapping[str, Any]) -> str:
    """What the organiser calls the type; of an old ticket its code in words: `front-of-stage` -> `Front of stage`."""
    if name := one_line(ticket.get("name", "")):
        return name
    code = ticket["ticket_type"]
    words: str = code.replace("-", " ").replace("_", " ").strip() or code
    return words[:1].upper() + words[1:]


_templates.filters.update(place=place, type_name=type_name, one_line=one_line)
