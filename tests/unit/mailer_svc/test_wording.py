"""Words of every language, and how amounts and times are put."""

import re
import string
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest

from booking_svc.contract import Venue
from mailer_svc import wording
from mailer_svc.wording import TEXTS, UnknownText, Wording, texts_of
from tests.unit.mailer_svc.letters import DATA, VENUE

ENGLISH = Wording("en", "tickets")
LANGUAGES = sorted(file.stem for file in TEXTS.glob("*.toml"))
TEMPLATES = Path(wording.__file__).parent / "templates"


def places(text: Any) -> set[str]:
    """The {places} in a text, or in any of its forms for numbers."""
    forms = text.values() if isinstance(text, dict) else [text]
    return {str(name) for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_texts_with_the_same_places(language: str) -> None:
    ours, english = texts_of(language), texts_of("en")
    assert {section: set(texts) for section, texts in ours.items()} == {s: set(t) for s, t in english.items()}
    for section, texts in ours.items():
        for key, text in texts.items():
            assert places(text) == places(english[section][key]), f"{section}.{key}"


def test_every_mail_has_its_texts_and_both_templates() -> None:
    assert set(texts_of("en")) == {"common", "tickets", *DATA}
    for document in DATA:
        assert (TEMPLATES / f"{document}.html.j2").exists() and (TEMPLATES / f"{document}.txt.j2").exists()


def test_templates_hold_no_words_of_their_own() -> None:
    for file in TEMPLATES.glob("*.j2"):
        shown = re.sub(r"(?s){#.*?#}|{%.*?%}|{{.*?}}|<style>.*?</style>|<[^>]*>", " ", file.read_text())
        assert re.findall(r"[A-Za-z]+", shown) == [], file.name


def test_another_language_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    german = (TEXTS / "en.toml").read_text()
    german = german.replace('date_format = "EEEE, d MMMM y"', 'date_format = "EEEE, d. MMMM y"')
    german = german.replace('one = "{count} ticket"', 'one = "{count} Karte"')
    (tmp_path / "de.toml").write_text(german)
    monkeypatch.setattr(wording, "TEXTS", tmp_path)
    texts_of.cache_clear()
    try:
        text = Wording("de", "booking_confirmed")
        assert text("tickets", count=1) == "1 Karte"
        assert text.date("2026-12-01T19:00:00Z", VENUE) == "Dienstag, 1. Dezember 2026"
        assert text.money({"amount": 4500, "currency": "EUR"}) == "45,00\xa0€"
    finally:
        texts_of.cache_clear()


def test_unknown_text_is_a_mistake_and_no_empty_line() -> None:
    with pytest.raises(UnknownText):
        ENGLISH("no such text")


@pytest.mark.parametrize(("count", "shown"), [(1, "1 ticket"), (2, "2 tickets"), (0, "0 tickets")])
def test_number_has_its_plural(count: int, shown: str) -> None:
    assert ENGLISH("tickets", count=count) == shown


@pytest.mark.parametrize(
    ("code", "shown"), [("standing", "Standing"), ("front-of-stage", "Front of stage"), ("vip_2", "Vip 2"), ("-", "-")]
)
def test_code_of_a_ticket_type_is_shown_as_words_where_no_name_was_kept(code: str, shown: str) -> None:
    assert wording.type_name({"ticket_type": code}) == shown


def test_ticket_type_is_called_what_its_organiser_calls_it() -> None:
    assert wording.type_name({"ticket_type": "rang", "name": "1. Rang"}) == "1. Rang"


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
        ("2026-07-01T19:00:00Z", "America/Sao_Paulo", "Wednesday, 1 July 2026, 16:00 UTC-03"),
        ("2026-07-01T19:00:00Z", "UTC", "Wednesday, 1 July 2026, 19:00 UTC"),
    ],
)
def test_time_is_the_venues_clock_with_its_zone(wire: str, zone: str, shown: str) -> None:
    assert ENGLISH.moment(wire, at(zone)) == shown


def test_every_time_zone_that_may_be_given_can_be_shown() -> None:
    for zone in available_timezones():
        assert " 2026, " in ENGLISH.moment("2026-07-01T19:00:00Z", at(zone))


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
    assert ENGLISH.money({"amount": amount, "currency": currency}) == shown
