"""Sales close by themselves, ten seconds before the concert, whatever its distance."""

from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from pymongo import MongoClient

from tests.e2e.api_client import Box, Person, concert_body, problem, starts_in
from tests.polling import poll


def test_a_concert_that_starts_soon_is_booked_until_it_closes_and_never_after(box: Box) -> None:
    organiser, buyers = box.organiser(), cycle([box.register() for _ in range(10)])
    concert = box.on_sale(organiser, 2000, starts_at=starts_in(seconds=14), max_tickets_per_user=100)
    closes = datetime.fromisoformat(concert["sales_close_at"])
    assert datetime.fromisoformat(concert["starts_at"]) - closes == timedelta(seconds=10)

    confirmed: list[tuple[Person, dict[str, Any]]] = []
    while True:
        sent = datetime.now(UTC)
        buyer = next(buyers)
        answer = buyer.book(concert["id"])
        if answer.status_code != 201:
            break
        confirmed.append((buyer, answer.json()))
    assert problem(answer) == (409, "sales_closed")
    assert datetime.now(UTC) >= closes, "refused while sales were open"
    assert confirmed and all(datetime.fromisoformat(b["confirmed_at"]) < closes for _, b in confirmed)
    assert sent < closes + timedelta(seconds=1)

    closed = poll(lambda: _if_closed(box.http.get(f"/v1/concerts/{concert['id']}").json()), seconds=3)
    assert timedelta(0) <= datetime.fromisoformat(closed["closed_at"]) - closes < timedelta(seconds=1)
    with MongoClient(box.stack.mongo_uri) as mongo:
        assert mongo["concert_svc"]["concerts"].find_one({"_id": concert["id"]})["status"] == "closed"  # type: ignore[index]

    owner, booking = confirmed[0]
    assert problem(owner.post(f"/v1/bookings/{booking['id']}/cancel")) == (409, "not_cancellable")
    assert owner.get(f"/v1/bookings/{booking['id']}").json()["status"] == "confirmed"
    assert not box.http.get(f"/v1/concerts/{concert['id']}/availability").json()["sales"]["open"]


@pytest.mark.parametrize("days", [60, 400])
def test_a_concert_far_away_stays_open(box: Box, days: int) -> None:
    """A delay past 49.7 days overflows 32 bits of milliseconds in many a scheduler."""
    concert = box.on_sale(box.organiser(), starts_at=starts_in(days=days))
    poll(lambda: not _pending_events(box, concert["id"]))  # the broker has its `concert_starting`
    assert box.register().book(concert["id"]).status_code == 201
    assert box.http.get(f"/v1/concerts/{concert['id']}").json()["status"] == "published"


@pytest.mark.parametrize("seconds", [-3600, 0, 9.9])
def test_a_concert_that_could_not_be_sold_any_more_is_refused(box: Box, seconds: float) -> None:
    answer = box.organiser().post("/v1/concerts", concert_body(starts_at=starts_in(seconds=seconds)))
    assert problem(answer) == (422, "starts_too_soon")


def _if_closed(concert: dict[str, Any]) -> dict[str, Any] | None:
    return concert if concert["status"] == "closed" else None


def _pending_events(box: Box, concert_id: str) -> list[Any]:
    with MongoClient(box.stack.mongo_uri) as mongo:
        return list(mongo["concert_svc"]["concerts"].find_one({"_id": concert_id})["outbox"])  # type: ignore[index]
