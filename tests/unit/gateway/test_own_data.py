"""All that is stored about somebody, as JSON that is written piece by piece."""

import json
from typing import Any, cast

import pytest
from flask import Flask

from gateway import long_lists, own_data, schemas
from gateway.services import Services
from rabbitmq.errors import Unavailable

ADA: Any = {
    "id": "ada",
    "email": "ada@example.org",
    "email_verified": True,
    "name": 'Ada "the first" Ünal',
    "roles": ["customer"],
    "created_at": "2026-11-27T09:00:00.000Z",
}
ACTORS = [None, "ada", "an admin"]
PRICE = {"amount": 4500, "currency": "EUR"}


class Remote:
    """*bookings* and three events, a page for each; *faults* calls for the second page of events fail."""

    def __init__(self, bookings: int, faults: int = 0) -> None:
        self.bookings = bookings
        self.faults = faults

    def list_bookings(self, user_id: str, limit: int, cursor: str | None) -> dict[str, Any]:
        number = int(cursor or 0)
        items = [booking(number)] if number < self.bookings else []
        return {"items": items, "next_cursor": str(number + 1) if number + 1 < self.bookings else None}

    def list_audit_entries(self, user_id: str, event: None, limit: int, cursor: str | None) -> dict[str, Any]:
        number = int(cursor or 0)
        if number == 1 and self.faults:
            self.faults -= 1
            raise Unavailable("auth_svc")
        return {"items": [event_by(ACTORS[number])], "next_cursor": [*"12", None][number]}


def booking(number: int) -> dict[str, Any]:
    venue = {"name": "Hall", "city": "Berlin", "country": "DE", "address": None, "timezone": "Europe/Berlin"}
    ticket = {"number": 1, "ticket_type": "standing", "name": "Standing", "seat": None, "price": PRICE, "code": "c"}
    return {
        "id": f"b{number}",
        "reference": "K7M-2QX-9TD",
        "status": "confirmed",
        "concert_id": "c1",
        "concert": {"title": "Night", "starts_at": ADA["created_at"], "doors_at": None, "venue": venue},
        "items": [{"ticket_type": "standing", "quantity": 1}],
        "tickets": [ticket],
        "total": PRICE,
        "confirmed_at": ADA["created_at"],
        "cancelled_at": None,
        "confirmation_mail": {"state": "queued", "sent_at": None, "reason": None},
        "user_id": "ada",
    }


def event_by(actor: str | None) -> dict[str, Any]:
    about = {"id": "e", "at": ADA["created_at"], "event": "roles_changed", "user_id": "ada", "actor_id": actor}
    return {**about, "address": "192.0.2.1", "device": "phone", "request_id": "r", "details": {"roles": ["customer"]}}


def exported(remote: Remote) -> dict[str, Any]:
    services = cast(Services, Services(auth=remote, concert=remote, booking=remote, mailer=remote))  # type: ignore[arg-type]
    with Flask(__name__).test_request_context():
        return dict(json.loads(own_data.export(services, ADA, []).get_data()))


@pytest.mark.parametrize("number", [0, 1, 3])
def test_file_reads_as_if_it_were_written_at_once(number: int) -> None:
    whole = {
        "user": ADA,
        "sessions": [],
        "bookings": [booking(one) for one in range(number)],
        "security_events": [own_data._about("ada", event_by(actor)) for actor in ACTORS],  # type: ignore[arg-type]
    }
    assert exported(Remote(number)) == schemas.OwnData().dump(whole)


def test_who_else_did_something_and_from_where_is_not_told() -> None:
    stranger, oneself, admin = exported(Remote(0))["security_events"]
    assert (stranger["actor_id"], stranger["address"], stranger["device"]) == (None, "192.0.2.1", "phone")
    assert (oneself["actor_id"], oneself["address"], oneself["device"]) == ("ada", "192.0.2.1", "phone")
    assert (admin["actor_id"], admin["address"], admin["device"]) == (None, None, None)
    assert admin["details"] == {"roles": ["customer"]}


def test_fault_half_way_is_waited_out_and_one_that_lasts_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_lists, "PAUSE", 0)
    assert len(exported(Remote(1, faults=4))["security_events"]) == 3
    with pytest.raises(Unavailable):
        exported(Remote(1, faults=5))
