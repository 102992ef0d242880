"""The life of a concert: changed, moved, cut, called off; and who may do that."""

import contextlib
import csv
import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from tests.e2e.api_client import Box, Person, concert_body, insist, problem, shell, starts_in
from tests.e2e.mail_folder import deliveries
from tests.e2e.test_faults import pids_of
from tests.harm import again_and_again
from tests.polling import poll

STANDING = {"code": "standing", "name": "Standing", "price": {"amount": 4500, "currency": "EUR"}, "capacity": 10}
BALCONY = {
    "code": "balcony",
    "name": "Balcony",
    "price": {"amount": 8000, "currency": "EUR"},
    "seating": [{"section": "B", "rows": ["1", "2"], "seats_per_row": 4}],
}


@pytest.fixture(scope="module")
def organiser(box: Box) -> Person:
    return box.organiser()


def change(organiser: Person, concert: dict[str, Any], **changes: Any) -> Any:
    return organiser.patch(f"/v1/concerts/{concert['id']}", changes)


def changed(organiser: Person, concert: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = change(organiser, concert, **changes)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def mails_about(box: Box, booking: dict[str, Any]) -> set[str]:
    """The ids of the mails about the booking; one that was handed over twice is one."""
    return {message_id for _, message_id in deliveries(box) if message_id.startswith(f"<{booking['id']}.")}


# --- the life cycle


def test_draft_is_changed_deleted_and_then_gone(organiser: Person, box: Box) -> None:
    draft = box.concert(organiser)
    assert changed(organiser, draft, title="Night of the Flutes")["title"] == "Night of the Flutes"
    assert organiser.delete(f"/v1/concerts/{draft['id']}").status_code == 204
    assert problem(organiser.get(f"/v1/concerts/{draft['id']}")) == (404, "not_found")
    assert problem(organiser.delete(f"/v1/concerts/{draft['id']}")) == (404, "not_found")


def test_another_organiser_sees_and_changes_nothing(organiser: Person, box: Box) -> None:
    stranger, draft, concert = box.organiser(), box.concert(organiser), box.on_sale(organiser)
    assert problem(stranger.get(f"/v1/concerts/{draft['id']}")) == (404, "not_found")
    for one in (draft, concert):
        path = f"/v1/concerts/{one['id']}"
        for answer in (
            stranger.patch(path, {"title": "Mine"}),
            stranger.delete(path),
            stranger.post(f"{path}/publish"),
            stranger.post(f"{path}/cancel"),
            stranger.get(f"{path}/bookings"),
            stranger.get(f"{path}/bookings.csv"),
            stranger.get(f"{path}/sales"),
            stranger.get(f"{path}/changes"),
            stranger.get(f"{path}/rollouts"),
        ):
            assert problem(answer) == (404, "not_found")
    assert problem(box.register().patch(f"/v1/concerts/{draft['id']}", {"title": "Mine"})) == (403, "forbidden")
    assert {draft["id"], concert["id"]} <= {c["id"] for c in organiser.get("/v1/concerts/mine").json()["items"]}
    assert stranger.get("/v1/concerts/mine").json() == {"items": [], "next_cursor": None}


def test_concert_on_sale_is_not_deleted_and_a_draft_not_called_off(organiser: Person, box: Box) -> None:
    assert problem(organiser.delete(f"/v1/concerts/{box.on_sale(organiser)['id']}")) == (409, "wrong_state")
    assert problem(organiser.post(f"/v1/concerts/{box.concert(organiser)['id']}/cancel")) == (409, "wrong_state")


def test_every_change_has_a_version_and_a_line_in_the_audit_trail(organiser: Person, box: Box) -> None:
    concert = box.on_sale(organiser)
    before = concert["schedule_version"]
    answer = change(organiser, concert, title="Night of the Flutes", max_tickets_per_user=3)
    assert answer.json()["schedule_version"] > before
    assert changed(organiser, concert, title="Night of the Flutes")["schedule_version"] == before + 1, "no change"
    newest, published, created = organiser.get(f"/v1/concerts/{concert['id']}/changes").json()["items"]
    assert (created["action"], published["action"], newest["action"]) == ("created", "published", "changed")
    assert newest["by"] == organiser.id
    assert newest["request_id"] == answer.headers["X-Request-ID"]
    assert newest["fields"] == {
        "title": {"was": "Night of the Organs", "is": "Night of the Flutes"},
        "max_tickets_per_user": {"was": 10, "is": 3},
    }


def test_times_are_shown_in_utc_and_at_the_venue(organiser: Person, box: Box) -> None:
    winter, summer = "2027-03-27T20:00:00+01:00", "2027-03-28T20:00:00+02:00"
    concert = box.on_sale(organiser, starts_at=winter, doors_at="2027-03-27T18:00:00+01:00")
    assert concert["starts_at"] == "2027-03-27T19:00:00Z"
    assert concert["local"]["starts_at"] == "2027-03-27T20:00:00+01:00"
    moved = changed(organiser, concert, starts_at=summer)
    assert moved["starts_at"] == "2027-03-28T18:00:00Z"
    assert moved["local"] == {
        "timezone": "Europe/Berlin",
        "starts_at": "2027-03-28T20:00:00+02:00",
        "doors_at": "2027-03-28T18:00:00+02:00",
        "sales_open_at": None,
        "sales_close_at": "2027-03-28T19:59:50+02:00",
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": ""}, "title"),
        ({"colour": "red"}, "colour"),
        ({"status": "closed"}, "status"),
        ({"doors_at": "2150-01-01T00:00:00Z"}, "doors_at"),
        ({"sales_open_at": "2150-01-01T00:00:00Z"}, "sales_open_at"),
        ({"ticket_types": []}, "ticket_types"),
        ({"ticket_types": [BALCONY]}, "ticket_types"),
        ({"ticket_types": [{**STANDING, "price": {"amount": 1, "currency": "USD"}}]}, "ticket_types"),
    ],
    ids=str,
)
def test_bad_changes_are_refused_by_field(organiser: Person, box: Box, changes: Any, field: str) -> None:
    answer = change(organiser, box.on_sale(organiser), **changes)
    assert problem(answer) == (422, "invalid")
    assert field in answer.json()["errors"]


# --- the terms of sale


def test_limit_price_and_window_are_changed_at_once(organiser: Person, box: Box) -> None:
    concert, buyer = box.on_sale(organiser, max_tickets_per_user=2), box.register()
    path = f"/v1/concerts/{concert['id']}"
    assert buyer.book(concert["id"], 2).status_code == 201
    changed(organiser, concert, max_tickets_per_user=3, ticket_types=[{**STANDING, "price": {**EUR, "amount": 1}}])
    booking = buyer.book(concert["id"])
    assert booking.json()["total"] == {"amount": 1, "currency": "EUR"}
    changed(organiser, concert, max_tickets_per_user=1)
    assert problem(buyer.book(concert["id"])) == (409, "limit_reached")
    changed(organiser, concert, sales_open_at=starts_in(days=1))
    assert problem(box.register().book(concert["id"])) == (409, "not_on_sale_yet")
    assert not box.http.get(f"{path}/availability").json()["sales"]["open"]
    changed(organiser, concert, sales_open_at=None)
    assert box.register().book(concert["id"]).status_code == 201


EUR = {"amount": 4500, "currency": "EUR"}


def test_capacity_is_raised_and_lowered_but_never_below_what_is_sold_and_held(organiser: Person, box: Box) -> None:
    concert, buyer = box.on_sale(organiser, 10), box.register()
    bookings = [buyer.book(concert["id"], 2).json() for _ in range(4)]
    buyer.post(f"/v1/bookings/{bookings[0]['id']}/cancel")  # of the numbers 1 to 8 the first two are free
    hold = box.register().hold(concert["id"], 1).json()
    answer = change(organiser, concert, ticket_types=[{**STANDING, "capacity": 6}])
    assert problem(answer) == (409, "wrong_state")
    assert "7" in answer.json()["errors"]["ticket_types"][0]
    assert box.available(concert["id"]) == 3, "a refused cut leaves all as it was"

    changed(organiser, concert, ticket_types=[{**STANDING, "capacity": 7}])
    assert box.available(concert["id"]) == 0
    assert problem(box.register().book(concert["id"])) == (409, "sold_out")
    changed(organiser, concert, ticket_types=[{**STANDING, "capacity": 9}])
    assert [box.register().book(concert["id"]).status_code for _ in range(3)] == [201, 201, 409]
    assert hold["tickets"] and box.available(concert["id"]) == 0


def test_type_is_added_while_on_sale(organiser: Person, box: Box) -> None:
    concert = box.on_sale(organiser, 10)
    buyer = box.register()
    assert buyer.book(concert["id"], 1, "balcony").status_code == 422
    changed(organiser, concert, ticket_types=[STANDING, BALCONY])
    booking = buyer.book(concert["id"], 2, "balcony")
    assert booking.status_code == 201
    assert box.available(concert["id"], "balcony") == 6


def test_seats_are_taken_off_sale_unless_they_are_sold_or_held(organiser: Person, box: Box) -> None:
    concert, buyer = box.on_sale(organiser, ticket_types=[BALCONY]), box.register()
    path = f"/v1/concerts/{concert['id']}"
    seat = [{"ticket_type": "balcony", "seats": ["B-1-1"]}]
    assert buyer.post("/v1/holds", {"concert_id": concert["id"], "items": seat}).status_code == 201
    answer = change(organiser, concert, ticket_types=[{**BALCONY, "blocked_seats": ["B-1-1", "B-1-2"]}])
    assert problem(answer) == (409, "tickets_unavailable")
    assert answer.json()["errors"] == {"ticket_types": ["B-1-1 is sold or held."]}
    changed(organiser, concert, ticket_types=[{**BALCONY, "blocked_seats": ["B-1-2", "B-2-4"]}])
    states = {s["seat"]: s["state"] for s in box.http.get(f"{path}/seats").json()["items"]}
    assert [states[s] for s in ("B-1-1", "B-1-2", "B-1-3", "B-2-4")] == ["held", "blocked", "available", "blocked"]
    assert box.available(concert["id"], "balcony") == 5
    changed(organiser, concert, ticket_types=[{**BALCONY, "blocked_seats": ["B-2-4"]}])
    assert box.available(concert["id"], "balcony") == 6


# --- moving


@pytest.mark.parametrize("seconds", [-3600, 0, 9.5])
def test_concert_is_not_moved_into_the_next_ten_seconds(organiser: Person, box: Box, seconds: float) -> None:
    concert = box.on_sale(organiser)
    answer = change(organiser, concert, starts_at=starts_in(seconds=seconds))
    assert problem(answer) == (422, "starts_too_soon")
    assert "10 seconds" in answer.json()["detail"] and "starts_at" in answer.json()["errors"]
    assert box.http.get(f"/v1/concerts/{concert['id']}").json()["starts_at"] == concert["starts_at"]


def test_concert_is_moved_far_away_and_back_and_stays_open(organiser: Person, box: Box) -> None:
    concert, buyer = box.on_sale(organiser), box.register()
    for days in (60, 400, 20, 50, 49):
        moved = changed(organiser, concert, starts_at=starts_in(days=days))
        assert moved["status"] == "published"
        assert buyer.book(concert["id"]).status_code == 201
    assert box.http.get(f"/v1/concerts/{concert['id']}").json()["status"] == "published"


def test_buyers_bookings_say_when_a_moved_concert_is_and_replays_say_what_they_said(
    organiser: Person, box: Box
) -> None:
    concert, buyer = box.on_sale(organiser), box.register()
    first = buyer.book(concert["id"], key="once")
    moved = changed(organiser, concert, starts_at=starts_in(days=40))
    path = f"/v1/bookings/{first.json()['id']}"
    poll(lambda: buyer.get(path).json()["concert"]["starts_at"] == moved["starts_at"], seconds=20)
    assert buyer.get(path).json()["status"] == "confirmed"
    poll(lambda: len(mails_about(box, first.json())) == 2, seconds=20)  # the confirmation, and this
    again = buyer.book(concert["id"], key="once")
    assert (again.headers["Idempotency-Replayed"], again.content) == ("true", first.content)


def test_buyers_are_reminded_a_day_before(organiser: Person, box: Box) -> None:
    buyer = box.register()
    concert = box.on_sale(organiser, starts_at=starts_in(hours=24, seconds=12))
    booking = buyer.book(concert["id"]).json()
    poll(lambda: buyer.get(f"/v1/bookings/{booking['id']}").json()["confirmation_mail"]["state"] == "sent", seconds=20)
    poll(lambda: len(mails_about(box, booking)) == 2, seconds=45)
    (rollout,) = organiser.get(f"/v1/concerts/{concert['id']}/rollouts").json()["items"]
    assert (rollout["kind"], rollout["changed"]) == ("reminder", 1)


# --- calling off


def test_concert_that_is_called_off_sells_nothing_and_its_bookings_are_cancelled(organiser: Person, box: Box) -> None:
    concert, buyers = box.on_sale(organiser, 50), [box.register() for _ in range(3)]
    path = f"/v1/concerts/{concert['id']}"
    bookings = [buyer.book(concert["id"], 2).json() for buyer in buyers]
    off = organiser.post(f"{path}/cancel")
    assert (off.status_code, off.json()["status"]) == (200, "cancelled")
    assert organiser.post(f"{path}/cancel").json() == off.json()
    assert problem(buyers[0].book(concert["id"])) == (409, "concert_cancelled")
    assert problem(change(organiser, concert, title="X")) == (409, "wrong_state")
    assert box.http.get(path).json()["status"] == "cancelled"
    for buyer, booking in zip(buyers, bookings, strict=True):
        poll(lambda b=buyer, i=booking["id"]: b.get(f"/v1/bookings/{i}").json()["status"] == "cancelled", seconds=20)
        poll(lambda b=booking: len(mails_about(box, b)) == 2, seconds=20)
    (rollout,) = organiser.get(f"{path}/rollouts").json()["items"]
    assert (rollout["kind"], rollout["total"], rollout["changed"]) == ("cancellation", 3, 3)
    assert box.available(concert["id"]) == 50 or poll(lambda: box.available(concert["id"]) == 50)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_two_thousand_bookings_are_cancelled_though_their_service_is_killed_over_it(
    organiser: Person, box: Box
) -> None:
    concert = box.on_sale(organiser, 5000, max_tickets_per_user=100)
    path = f"/v1/concerts/{concert['id']}"
    with ThreadPoolExecutor(16) as threads:
        buyers = list(threads.map(lambda _: box.register(), range(40)))
        sold = list(threads.map(lambda n: insist(buyers[n % 40], concert["id"]).status_code, range(2000)))
    assert sold.count(201) == 2000
    assert organiser.post(f"{path}/cancel").status_code == 200

    def kill() -> None:
        for pid in pids_of(box, "booking_svc", 2):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def progress() -> dict[str, Any]:
        answer = organiser.get(f"{path}/rollouts")
        return dict(answer.json()["items"][0]) if answer.status_code == 200 and answer.json()["items"] else {}

    seen: list[int] = []
    with again_and_again(kill, every=0.7, at_most=6) as kills:
        poll(lambda: kills() == 6, seconds=60, every=0.1)
        seen.append(progress().get("looked_at", 0))
    poll(lambda: progress().get("state") == "done", seconds=120, every=0.2)
    with MongoClient(box.stack.mongo_uri) as mongo:
        bookings = list(mongo["booking_svc"]["bookings"].find({"concert_id": concert["id"], "status": "cancelled"}))
    assert len(bookings) == 2000
    assert all([h["status"] for h in b["history"]] == ["confirmed", "cancelled"] for b in bookings)
    poll(lambda: box.available(concert["id"]) == 5000, seconds=60, every=0.2)
    assert "cancellation" in shell(box.stack, "print(n.rpc.booking_svc.list_rollouts()[0]['kind'])")
    print(progress(), f"{kills()} kills")
    box.stack.must_be_sound()


# --- what organisers see


def test_organiser_sees_who_booked_and_what_was_sold(organiser: Person, box: Box) -> None:
    concert = box.on_sale(organiser, ticket_types=[STANDING, BALCONY])
    ada, eve = box.register("Ada, Countess"), box.register('=HYPERLINK("http://evil.example";"Click")')
    path = f"/v1/concerts/{concert['id']}"
    first, second = ada.book(concert["id"], 2).json(), eve.book(concert["id"], 1, "balcony").json()
    gone = ada.book(concert["id"]).json()
    ada.post(f"/v1/bookings/{gone['id']}/cancel")

    listed = organiser.get(f"{path}/bookings", params={"limit": 2}).json()
    rest = organiser.get(f"{path}/bookings", params={"limit": 2, "cursor": listed["next_cursor"]}).json()
    items = listed["items"] + rest["items"]
    assert [b["id"] for b in items] == [gone["id"], second["id"], first["id"]]
    assert items[2]["buyer"] == {"id": ada.id, "name": "Ada, Countess", "email": ada.user["email"]}
    assert [b["status"] for b in items] == ["cancelled", "confirmed", "confirmed"]

    sales = organiser.get(f"{path}/sales").json()
    assert sales["ticket_types"] == [
        {"ticket_type": "balcony", "tickets": 1, "revenue": {"amount": 8000, "currency": "EUR"}, "cancelled": 0},
        {"ticket_type": "standing", "tickets": 2, "revenue": {"amount": 9000, "currency": "EUR"}, "cancelled": 1},
    ]
    assert sum(hour["tickets"] for hour in sales["hours"]) == 3
    began = datetime.fromisoformat(sales["hours"][0]["hour"])
    assert (began.minute, began.second) == (0, 0)
    assert timedelta(0) <= datetime.now(UTC) - began < timedelta(hours=2)

    table = organiser.get(f"{path}/bookings.csv")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert table.headers["Content-Disposition"].startswith("attachment;")
    assert table.content.startswith(b"\xef\xbb\xbf") and b"\r\n" in table.content
    rows = list(csv.DictReader(io.StringIO(table.content.decode("utf-8-sig"))))
    assert [(r["reference"], r["ticket"], r["price"], r["currency"]) for r in rows] == [
        (gone["reference"], "1", "45.00", "EUR"),
        (second["reference"], "1", "80.00", "EUR"),
        (first["reference"], "1", "45.00", "EUR"),
        (first["reference"], "2", "45.00", "EUR"),
    ]
    assert rows[3]["buyer"] == "Ada, Countess"
    assert rows[1]["buyer"] == '\'=HYPERLINK("http://evil.example";"Click")'
    assert (rows[1]["seat"][:2], rows[0]["status"]) == ("B-", "cancelled")


def test_draft_has_no_bookings_and_no_sales(organiser: Person, box: Box) -> None:
    path = f"/v1/concerts/{box.concert(organiser)['id']}"
    assert organiser.get(f"{path}/bookings").json() == {"items": [], "next_cursor": None}
    assert organiser.get(f"{path}/sales").json() == {"ticket_types": [], "hours": []}
    assert organiser.get(f"{path}/bookings.csv").text.count("\r\n") == 1


# --- searching


def test_concerts_are_searched_by_text_city_date_and_price(organiser: Person, box: Box) -> None:
    word = f"w{organiser.id[:12]}"
    venue = {"name": "Tonhalle", "city": "Zürich", "country": "CH", "timezone": "Europe/Zurich"}
    near = box.on_sale(
        organiser, title="Harps", performers=[word, word], description=word, starts_at="2033-05-01T18:00:00Z"
    )
    far = box.on_sale(organiser, title="Flutes", performers=[word], venue=venue, starts_at="2033-06-01T18:00:00Z")
    cheap = [{**STANDING, "price": {"amount": 900, "currency": "EUR"}}]
    late = box.on_sale(organiser, description=f"With {word}.", ticket_types=cheap, starts_at="2033-07-01T18:00:00Z")
    box.concert(organiser, title=f"Draft {word}")

    def found(**search: Any) -> list[str]:
        answer = box.http.get("/v1/concerts", params=search)
        assert answer.status_code == 200, answer.text
        return [concert["id"] for concert in answer.json()["items"]]

    everything = [near["id"], far["id"], late["id"]]
    assert found(q=word, sort="date") == everything
    assert found(q=word.upper(), sort="relevance") == everything, "a performer weighs more than the description"
    assert found(q=f"harps {word}") == [near["id"]]
    assert found(q=f'"{word}" -harps', sort="date") == [near["id"]], "no operators"
    assert found(q=word, city="zurich") == [far["id"]]
    assert found(q=word, **{"from": "2033-06-01", "to": "2033-06-01"}) == [far["id"]]
    assert found(q=word, **{"from": "2033-06-01T18:00:00Z", "sort": "date"}) == everything[1:]
    assert found(q=word, max_price=1000) == [late["id"]]
    assert found(q=word, min_price=1000, max_price=5000, sort="date") == everything[:2]
    first = box.http.get("/v1/concerts", params={"q": word, "limit": 2}).json()
    assert [c["id"] for c in first["items"]] == everything[:2]
    assert found(q=word, limit=2, cursor=first["next_cursor"]) == [late["id"]]


def test_concerts_without_tickets_are_left_out_if_one_wants(organiser: Person, box: Box) -> None:
    word = f"v{organiser.id[:12]}"
    full, free = (box.on_sale(organiser, 1, title=word, starts_at=f"2034-05-0{n}T18:00:00Z") for n in (1, 2))
    assert box.register().book(full["id"]).status_code == 201

    def found(**search: Any) -> list[str]:
        items = box.http.get("/v1/concerts", params={"q": word, "sort": "date", **search}).json()["items"]
        return [concert["id"] for concert in items]

    assert found() == [full["id"], free["id"]]
    assert poll(lambda: found(available="true") == [free["id"]])


@pytest.mark.parametrize(
    ("search", "field"),
    [
        ({"sort": "relevance"}, "sort"),
        ({"sort": "price"}, "sort"),
        ({"from": "soon"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"min_price": "9", "max_price": "1"}, "max_price"),
        ({"available": "perhaps"}, "available"),
        ({"q": "x" * 201}, "q"),
        ({"limit": "1000"}, "limit"),
    ],
    ids=str,
)
def test_bad_searches_are_refused_by_field(box: Box, search: dict[str, str], field: str) -> None:
    answer = box.http.get("/v1/concerts", params=search)
    assert problem(answer) == (422, "invalid")
    assert field in answer.json()["errors"]


@pytest.mark.parametrize("q", ["!!!", "$where", "-", '"', "\\", "ß" * 200, "日本"])
def test_odd_texts_find_nothing_or_something_but_never_fail(box: Box, q: str) -> None:
    assert box.http.get("/v1/concerts", params={"q": q}).status_code == 200


def test_body_of_a_change_may_be_as_large_as_a_new_concerts(organiser: Person, box: Box) -> None:
    concert = box.on_sale(organiser, description="x" * 10_000)
    body = {k: v for k, v in concert_body().items() if k != "starts_at"}
    assert changed(organiser, concert, **body)["description"] == "x" * 10_000
