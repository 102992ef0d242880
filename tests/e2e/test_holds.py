"""Holding tickets and seats, and booking what is held."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.api_client import Box, Person, problem, starts_in
from tests.e2e.test_metrics import counted
from tests.polling import poll

SEATED = {
    "code": "stalls",
    "name": "Stalls",
    "price": {"amount": 8000, "currency": "EUR"},
    "seating": [{"section": "S", "rows": ["1", "2"], "seats_per_row": 6}],
    "accessible_seats": ["S-2-1"],
    "blocked_seats": ["S-1-1"],
}
STANDING = {"code": "standing", "name": "Standing", "price": {"amount": 4500, "currency": "EUR"}, "capacity": 10}


@pytest.fixture(scope="module")
def organiser(box: Box) -> Person:
    return box.organiser()


@pytest.fixture
def concert(box: Box, organiser: Person) -> str:
    return str(box.on_sale(organiser, ticket_types=[STANDING, SEATED], max_tickets_per_user=6)["id"])


def quantity(code: str, number: int) -> dict[str, Any]:
    return {"ticket_type": code, "quantity": number}


def named(*seats: str) -> dict[str, Any]:
    return {"ticket_type": "stalls", "seats": list(seats)}


def hold(person: Person, concert: str, *items: dict[str, Any], key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else None
    return person.post("/v1/holds", {"concert_id": concert, "items": list(items)}, headers)


def book(person: Person, hold_id: str, key: str | None = None) -> Any:
    return person.post("/v1/bookings", {"hold_id": hold_id}, {"Idempotency-Key": key or str(uuid.uuid4())})


def states(box: Box, concert: str) -> dict[str, str]:
    items = box.http.get(f"/v1/concerts/{concert}/seats").json()["items"]
    assert {item["ticket_type"] for item in items} == {"stalls"}
    return {item["seat"]: item["state"] for item in items}


def test_reserved_type_tells_its_plan_and_capacity(box: Box, concert: str) -> None:
    types = {t["code"]: t for t in box.http.get(f"/v1/concerts/{concert}").json()["ticket_types"]}
    assert types["stalls"] == {**SEATED, "admission": "reserved", "capacity": 11}
    assert types["standing"] == {**STANDING, "admission": "general"}
    availability = box.http.get(f"/v1/concerts/{concert}/availability").json()["ticket_types"]
    assert availability == [
        {"code": "stalls", "capacity": 11, "available": 11},
        {"code": "standing", "capacity": 10, "available": 10},
    ]


def test_hold_keeps_several_types_for_ten_minutes(box: Box, concert: str) -> None:
    buyer = box.register()
    before = datetime.now(UTC)
    answer = hold(buyer, concert, quantity("standing", 2), named("S-2-6", "S-2-5"))
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/holds/{made['id']}"
    assert made.keys() == {"id", "concert_id", "items", "tickets", "total", "expires_at"}
    assert [(t["number"], t["ticket_type"], t["seat"]) for t in made["tickets"]] == [
        *((1, "standing", None), (2, "standing", None), (3, "stalls", "S-2-6"), (4, "stalls", "S-2-5"))
    ]
    assert made["total"] == {"amount": 25_000, "currency": "EUR"}
    expires_in = datetime.fromisoformat(made["expires_at"]) - before
    assert timedelta(minutes=9, seconds=50) < expires_in < timedelta(minutes=10, seconds=10)
    assert buyer.get(f"/v1/holds/{made['id']}").json() == made
    assert (box.available(concert), box.available(concert, "stalls")) == (8, 9)


def test_held_tickets_are_booked_with_their_seats(box: Box, concert: str) -> None:
    buyer, key = box.register(), str(uuid.uuid4())
    made = hold(buyer, concert, quantity("stalls", 3)).json()
    answer = book(buyer, made["id"], key)
    booking = answer.json()
    assert answer.status_code == 201
    assert booking["items"] == made["items"] == [quantity("stalls", 3)]
    best = ["S-1-2", "S-1-3", "S-1-4"]
    assert [t["seat"] for t in booking["tickets"]] == [t["seat"] for t in made["tickets"]] == best
    assert booking["total"] == made["total"]
    assert book(buyer, made["id"], key).content == answer.content
    assert problem(book(buyer, made["id"])) == (409, "hold_expired")
    assert {seat for seat, state in states(box, concert).items() if state == "booked"} == set(best)
    buyer.post(f"/v1/bookings/{booking['id']}/cancel")
    assert "booked" not in states(box, concert).values()
    assert book(buyer, made["id"], key).content == answer.content


def test_key_of_a_hold_is_of_that_hold_alone(box: Box, concert: str) -> None:
    buyer, key = box.register(), str(uuid.uuid4())
    first, second = (hold(buyer, concert, quantity("standing", 1)).json()["id"] for _ in range(2))
    assert book(buyer, first, key).status_code == 201
    assert problem(book(buyer, second, key)) == (422, "idempotency_key_reused")
    assert problem(buyer.book(concert, 1, key=key)) == (422, "idempotency_key_reused")
    assert problem(buyer.post("/v1/bookings", {"hold_id": second})) == (400, "idempotency_key_missing")


def test_hold_repeated_with_its_key_is_the_same_hold(box: Box, concert: str) -> None:
    buyer, key = box.register(), str(uuid.uuid4())
    first = hold(buyer, concert, quantity("standing", 1), key=key)
    assert hold(buyer, concert, quantity("standing", 1), key=key).content == first.content
    assert problem(hold(buyer, concert, quantity("standing", 2), key=key)) == (422, "idempotency_key_reused")
    assert box.available(concert) == 9


def test_hold_is_extended_and_released(box: Box, concert: str) -> None:
    buyer = box.register()
    made = hold(buyer, concert, quantity("standing", 2)).json()
    path = f"/v1/holds/{made['id']}"
    extended = buyer.post(f"{path}/extend")
    assert extended.status_code == 200
    assert {**extended.json(), "expires_at": ""} == {**made, "expires_at": ""}
    assert extended.json()["expires_at"] > made["expires_at"]
    released = box.http.delete(path, headers=buyer.authorization)
    assert (released.status_code, released.content) == (204, b"")
    assert box.available(concert) == 10
    assert box.http.delete(path, headers=buyer.authorization).status_code == 204  # nothing is left to do
    assert problem(buyer.get(path)) == (409, "hold_expired")
    assert problem(buyer.post(f"{path}/extend")) == (409, "hold_expired")
    assert problem(book(buyer, made["id"])) == (409, "hold_expired")


def test_hold_of_somebody_else_is_not_there(box: Box, concert: str) -> None:
    buyer, other = box.register(), box.register()
    made = hold(buyer, concert, quantity("standing", 2)).json()
    path = f"/v1/holds/{made['id']}"
    assert problem(other.get(path)) == (404, "not_found")
    assert problem(other.post(f"{path}/extend")) == (404, "not_found")
    assert problem(box.http.delete(path, headers=other.authorization)) == (404, "not_found")
    assert problem(book(other, made["id"])) == (404, "not_found")
    assert problem(box.http.get(path)) == (401, "not_authenticated")
    assert buyer.get(path).json() == made


@pytest.mark.parametrize("hold_id", ["x", "x-y", "-", "%00", "..", "{c}:terms", "ü" * 20, "a" * 300])
def test_what_is_no_hold_is_not_there(box: Box, hold_id: str) -> None:
    assert problem(box.register().get(f"/v1/holds/{hold_id}"))[0] == 404


def test_taken_seats_are_named_and_nothing_is_held(box: Box, concert: str) -> None:
    buyer, other = box.register(), box.register()
    hold(buyer, concert, named("S-2-3", "S-2-4"))
    refused = hold(other, concert, named("S-2-2", "S-2-3"), quantity("standing", 1))
    assert problem(refused) == (409, "tickets_unavailable")
    assert refused.json()["errors"] == {"items": ["S-2-3 is not available."]}
    assert problem(hold(other, concert, named("S-1-1"))) == (409, "tickets_unavailable")  # it is blocked
    assert states(box, concert)["S-2-2"] == "available"
    assert box.available(concert) == 10


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (named("S-9-9"), "items"),
        (named("S-1-01"), "items"),
        ({"ticket_type": "standing", "seats": ["S-1-2"]}, "items"),
        ({"ticket_type": "balcony", "quantity": 1}, "items"),
        ({"ticket_type": "stalls"}, "items"),
        ({"ticket_type": "stalls", "quantity": 1, "seats": ["S-1-2"]}, "items"),
        ({"ticket_type": "stalls", "seats": ["S-1-2", "S-1-2"]}, "items"),
        ({"ticket_type": "standing", "quantity": 1, "price": 0}, "items"),
    ],
    ids=str,
)
def test_what_is_not_for_sale_is_refused_by_field(box: Box, concert: str, item: dict[str, Any], field: str) -> None:
    buyer = box.register()
    body = {"concert_id": concert, "items": [item]}
    for answer in (buyer.post("/v1/holds", body), buyer.post("/v1/bookings", body, {"Idempotency-Key": "k"})):
        assert problem(answer) == (422, "invalid")
        assert field in answer.json()["errors"]


def test_limit_is_across_holds_and_bookings(box: Box, concert: str) -> None:
    buyer = box.register()
    made = hold(buyer, concert, quantity("standing", 2), named("S-2-2")).json()
    assert buyer.book(concert, 2).status_code == 201
    assert problem(hold(buyer, concert, quantity("standing", 2))) == (409, "limit_reached")
    assert problem(buyer.book(concert, 2)) == (409, "limit_reached")
    assert hold(buyer, concert, quantity("standing", 1)).status_code == 201
    assert book(buyer, made["id"]).status_code == 201  # what is held counts once
    assert problem(buyer.book(concert, 1)) == (409, "limit_reached")


def sold_out(box: Box, organiser: Person) -> str:
    concert = str(box.on_sale(organiser, capacity=1)["id"])
    assert hold(box.register(), concert, quantity("standing", 1)).status_code == 201
    return concert


def sales_closed(box: Box, organiser: Person) -> str:
    concert, buyer = str(box.on_sale(organiser, starts_at=starts_in(seconds=15))["id"]), box.register()
    poll(lambda: problem(hold(buyer, concert, quantity("standing", 100))) == (409, "sales_closed"), 20, every=0.1)
    return concert


def not_on_sale_yet(box: Box, organiser: Person) -> str:
    return str(box.on_sale(organiser, sales_open_at=starts_in(hours=1))["id"])


def concert_cancelled(box: Box, organiser: Person) -> str:
    concert = str(box.on_sale(organiser)["id"])
    assert organiser.post(f"/v1/concerts/{concert}/cancel").status_code == 200
    return concert


@pytest.mark.parametrize("refused", [sold_out, sales_closed, not_on_sale_yet, concert_cancelled])
def test_refusal_that_the_gateway_is_certain_of_reads_as_if_booking_svc_had_been_asked(
    box: Box, organiser: Person, refused: Callable[[Box, Person], str]
) -> None:
    code, concert, buyer = refused.__name__, refused(box, organiser), box.register()
    body = {"concert_id": concert, "items": [quantity("standing", 1)]}

    def ask(**headers: str) -> httpx.Response:
        return buyer.post("/v1/holds", body, {"X-Request-ID": "one", **headers})

    def early() -> httpx.Response | None:
        before = counted(box, "holds_refused_early_total", code=code)
        answer = ask()
        assert problem(answer) == (409, code)
        return answer if counted(box, "holds_refused_early_total", code=code) > before else None

    looked_up = poll(early, seconds=20)  # each process of the gateway asks once
    refusals = counted(box, "holds_refused_early_total", code=code)
    asked = ask(**{"Idempotency-Key": str(uuid.uuid4())})
    assert counted(box, "holds_refused_early_total", code=code) == refusals
    assert looked_up.content == asked.content
    for answer in (looked_up, asked):
        del answer.headers["Date"]
    assert looked_up.headers == asked.headers


def test_ticket_that_comes_back_is_not_refused(box: Box, organiser: Person) -> None:
    concert = str(box.on_sale(organiser, capacity=1)["id"])
    ada, ben = box.register(), box.register()
    for _ in range(5):
        held = hold(ada, concert, quantity("standing", 1)).json()
        for _ in range(4):
            assert problem(hold(ben, concert, quantity("standing", 1))) == (409, "sold_out")
        assert ada.delete(f"/v1/holds/{held['id']}").status_code == 204
        given = hold(ben, concert, quantity("standing", 1))
        assert given.status_code == 201
        assert ben.delete(f"/v1/holds/{given.json()['id']}").status_code == 204


def test_hold_lasts_no_longer_than_sales(box: Box, organiser: Person) -> None:
    soon = box.on_sale(organiser, starts_at=starts_in(minutes=5))
    made = hold(box.register(), soon["id"], quantity("standing", 1)).json()
    assert made["expires_at"] == soon["sales_close_at"]


def test_seat_map_has_an_etag(box: Box, concert: str) -> None:
    path, buyer = f"/v1/concerts/{concert}/seats", box.register()
    first = box.http.get(path)
    assert first.status_code == 200
    assert list(states(box, concert)) == [f"S-{row}-{number}" for row in "12" for number in range(1, 7)]
    unchanged = box.http.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    hold(buyer, concert, named("S-2-6"))
    changed = box.http.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != first.headers["ETag"]
    assert changed.json()["items"][-1] == {"seat": "S-2-6", "ticket_type": "stalls", "state": "held"}
    plain = box.http.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.json() == changed.json()
    assert problem(box.http.get("/v1/concerts/none/seats")) == (404, "not_found")


def test_concert_without_seats_has_an_empty_map(box: Box, organiser: Person) -> None:
    general = box.on_sale(organiser)
    assert box.http.get(f"/v1/concerts/{general['id']}/seats").json() == {"items": []}


def test_fifty_thousand_seats_are_sold_by_name_and_seen_in_one_answer(box: Box, organiser: Person) -> None:
    sections = [{"section": s, "rows": [str(r) for r in range(1, 101)], "seats_per_row": 50} for s in "ABCDEFGHIJ"]
    seated = {"code": "arena", "name": "Arena", "price": STANDING["price"], "seating": sections}
    arena = box.on_sale(organiser, ticket_types=[seated])
    buyer = box.register()
    item = {"ticket_type": "arena", "seats": ["J-100-50", "A-1-1"]}
    made = hold(buyer, arena["id"], item, quantity("arena", 2)).json()
    assert [t["seat"] for t in made["tickets"]] == ["J-100-50", "A-1-1", "A-1-25", "A-1-26"]
    answer = box.http.get(f"/v1/concerts/{arena['id']}/seats")
    assert int(answer.headers["Content-Length"]) < 400_000
    items = answer.json()["items"]
    assert len(items) == 50_000
    held = {item["seat"] for item in items if item["state"] == "held"}
    assert held == {"J-100-50", "A-1-1", "A-1-25", "A-1-26"}
