"""The guest list in a spreadsheet."""

import csv
import io
from typing import Any, cast

import pytest
from flask import Flask

from gateway import guest_lists, long_lists
from gateway.guest_lists import plain
from gateway.services import Services
from rabbitmq.errors import Unavailable

CONCERT: Any = {
    "id": "c1",
    "venue": {"timezone": "Europe/Berlin"},
    "ticket_types": [{"code": "standing", "name": "+Standing"}],
}


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "＋1", "－1", "＠1", '=cmd|"/C calc"!A0'],
)
def test_formula_is_made_text(text: str) -> None:
    assert plain(text) == f"'{text}"


@pytest.mark.parametrize("text", ["Ada", "", "1+1", "O'Hara", "Jean-Luc", "ada@example.org", "'=1", "Σ"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


class Remote:
    """Three bookings, a page for each; *faults* calls for the second page fail."""

    def __init__(self, faults: int = 0) -> None:
        self.faults = faults

    def list_concert_bookings(self, concert_id: str, limit: int, cursor: str | None) -> dict[str, Any]:
        number = int(cursor or 0)
        if number == 1 and self.faults:
            self.faults -= 1
            raise Unavailable("booking_svc")
        return {"items": [booking(number)], "next_cursor": str(number + 1) if number < 2 else None}

    def get_contacts(self, user_ids: list[str]) -> dict[str, Any]:
        known = {"u0": {"name": 'Ünal, "Ö"', "email": "u@example.org"}, "u1": {"name": "=1", "email": "+@example.org"}}
        return {user_id: known[user_id] for user_id in user_ids if user_id in known}


def booking(number: int) -> dict[str, Any]:
    price = {"amount": 4500, "currency": ["EUR", "JPY", "KWD"][number]}
    named = {"name": "Standing, front"} if number == 1 else {}  # as it was called when it was booked
    return {
        "id": f"b{number}",
        "user_id": f"u{number}",
        "reference": f"R-{number}",
        "status": "confirmed",
        "confirmed_at": "2027-03-28T00:59:59.5Z",
        "cancelled_at": None,
        "tickets": [{"number": 1, "ticket_type": "standing", "seat": None, "price": price, **named}],
    }


def export(remote: Remote) -> bytes:
    services = cast(Services, Services(auth=remote, concert=remote, booking=remote, mailer=remote))  # type: ignore[arg-type]
    with Flask(__name__).test_request_context():
        return guest_lists.export(services, CONCERT).get_data()


def test_table_has_every_ticket_of_every_page_and_a_mark_for_excel() -> None:
    table = export(Remote())
    assert table.startswith(b"\xef\xbb\xbfreference,")
    rows = list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline="")))
    assert [r["reference"] for r in rows] == ["R-0", "R-1", "R-2"]
    assert [r["price"] for r in rows] == ["45.00", "4500", "4.500"]
    assert [r["buyer"] for r in rows] == ['Ünal, "Ö"', "'=1", ""]
    assert [r["ticket_type"] for r in rows] == ["'+Standing", "Standing, front", "'+Standing"]
    assert rows[1]["email"] == "'+@example.org"
    assert (rows[0]["confirmed_at_utc"], rows[0]["confirmed_at_local"]) == (
        "2027-03-28 00:59:59",
        "2027-03-28 01:59:59",
    )


def test_fault_half_way_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_lists, "PAUSE", 0)
    assert export(Remote(faults=4)).count(b"\r\n") == 4


def test_fault_that_lasts_breaks_the_list_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_lists, "PAUSE", 0)
    with pytest.raises(Unavailable):
        export(Remote(faults=5))
