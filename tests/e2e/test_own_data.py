"""What is stored about somebody: they get it as a file, and have it erased."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from pymongo import MongoClient
from redis import Redis

from auth_svc.contract import session_key, sessions_key
from auth_svc.sessions import RECENT
from auth_svc.tries import _account
from auth_svc.users import Users
from gateway.errors import CONTRACT_ERRORS
from gateway.long_lists import AT_ONCE
from gateway.rpc import RpcClient
from rabbitmq.database import Document
from tests.e2e.api_client import PASSWORD, Box, Person, insist, problem
from tests.e2e.mail_folder import deliveries
from tests.polling import poll

HERE = {"address": "192.0.2.1", "device": "test"}


@pytest.fixture(scope="module")
def organiser(box: Box) -> Person:
    return box.organiser()


@pytest.fixture
def sessions_at(box: Box) -> Iterator[Redis]:
    with Redis.from_url(box.stack.session_redis_url, decode_responses=True) as redis:
        yield redis


def own_data(person: Person) -> dict[str, Any]:
    answer = person.get("/v1/me/data")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"] == 'attachment; filename="my-data.json"'
    return dict(answer.json())


def erase(person: Person) -> Any:
    return person.delete("/v1/me")


def log_in(box: Box, email: str) -> Any:
    return box.http.post("/v1/auth/login", json={"email": email, "password": PASSWORD})


def give_roles(box: Box, person: Person, *roles: str) -> Person:
    """*person* with these roles, logged in anew."""
    admin = box.admin()
    path, device = f"/v1/users/{person.id}/roles", {"User-Agent": f"the admin's {admin.id}"}
    answer = box.http.put(path, json={"roles": roles}, headers={**admin.authorization, **device})
    assert answer.status_code == 200, answer.text
    return box.login(person.user["email"])


def databases(box: Box) -> str:
    """All that MongoDB keeps, as text."""
    with MongoClient[Document](box.stack.mongo_uri) as mongo:
        return "\n".join(
            str(document)
            for name in mongo.list_database_names()
            if name not in ("admin", "config", "local")
            for collection in mongo[name].list_collection_names()
            for document in mongo[name][collection].find()
        )


def test_person_gets_what_is_stored_about_them_and_about_nobody_else(box: Box, organiser: Person) -> None:
    concert, person = box.on_sale(organiser)["id"], box.register()
    organiser.book(concert)
    first, second = (person.book(concert).json()["id"] for _ in range(2))
    assert person.post(f"/v1/bookings/{first}/cancel").status_code == 200
    person = give_roles(box, person, "customer", "organiser")
    data = own_data(person)
    assert set(data) == {"user", "sessions", "bookings", "security_events"}
    assert data["user"] == person.get("/v1/me").json()
    assert [(session["current"], session["device"]) for session in data["sessions"]] == [
        (True, person.api.headers["User-Agent"])
    ]
    assert [(b["id"], b["status"]) for b in data["bookings"]] == [(second, "confirmed"), (first, "cancelled")]
    assert [event["event"] for event in data["security_events"]] == ["logged_in", "roles_changed", "registered"]
    assert data["security_events"][0]["address"] == "127.0.0.1"
    by_admin = data["security_events"][1]
    assert (by_admin["actor_id"], by_admin["address"], by_admin["device"]) == (None, None, None)
    assert box.admin().id not in json.dumps(data) and organiser.id not in json.dumps(data)


def test_list_of_bookings_longer_than_a_page_is_whole(box: Box, organiser: Person) -> None:
    person = box.register()
    concerts = [box.on_sale(organiser, 100, max_tickets_per_user=100)["id"] for _ in range(AT_ONCE // 100 + 1)]
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda number: insist(person, concerts[number // 100]), range(AT_ONCE + 5))
        booked = [answer.json()["id"] for answer in answers]
    assert sorted(b["id"] for b in own_data(person)["bookings"]) == sorted(booked)


def test_who_is_erased_is_nobody_and_what_they_booked_stays_booked(
    box: Box, organiser: Person, sessions_at: Redis
) -> None:
    name, email = f"Ada {uuid.uuid4().hex}", f"{uuid.uuid4().hex}@example.org"
    concert, person = box.on_sale(organiser, 10)["id"], box.register(name, email)
    elsewhere = box.login(email)
    booking = person.book(concert, 2).json()
    poll(lambda: person.get(f"/v1/bookings/{booking['id']}").json()["confirmation_mail"]["state"] == "sent", seconds=20)
    kept = databases(box)
    assert name in kept and email in kept, "it can be found where it is"

    erased = erase(person)
    assert erased.status_code == 204 and "Content-Type" not in erased.headers
    for token in (person, elsewhere):
        assert problem(token.get("/v1/me")) == (401, "session_ended")
        refreshed = box.http.post("/v1/auth/refresh", headers={"Authorization": f"Bearer {token.refresh_token}"})
        assert problem(refreshed) == (401, "session_ended")
    assert not sessions_at.exists(sessions_key(person.id))
    for stored_as in (email, f"erased:{person.id}"):
        assert problem(log_in(box, stored_as)) == (401, "bad_credentials")
        assert box.http.post("/v1/auth/password-reset", json={"email": stored_as}).status_code == 202
    roles = {"roles": ["customer"]}
    given = box.http.put(f"/v1/users/{person.id}/roles", json=roles, headers=box.admin().authorization)
    assert problem(given) == (404, "not_found")
    kept = databases(box)
    assert name not in kept and email not in kept

    [sold] = organiser.get(f"/v1/concerts/{concert}/bookings").json()["items"]
    assert (sold["id"], sold["status"]) == (booking["id"], "confirmed")
    assert sold["buyer"] == {"id": person.id, "name": None, "email": None}
    assert box.available(concert) == 8
    events = box.admin().get("/v1/audit-log", params={"user_id": person.id}).json()["items"]
    assert [event["event"] for event in events] == ["account_erased", "logged_in", "registered"]

    again = box.register("Ada once more", email)
    assert again.id != person.id and own_data(again)["bookings"] == []


def test_address_that_is_free_again_gets_no_mail_of_the_one_before(box: Box, organiser: Person) -> None:
    person = box.register()
    concert = box.on_sale(organiser)["id"]
    booking = person.book(concert).json()
    assert erase(person).status_code == 204
    again = box.register(email=person.user["email"])
    before = {message_id for _, message_id in deliveries(box)}
    assert organiser.post(f"/v1/concerts/{concert}/cancel").status_code == 200
    witness = again.book(box.on_sale(organiser)["id"]).json()
    poll(lambda: any(f"<{witness['id']}." in message_id for _, message_id in deliveries(box)), seconds=20)
    with MongoClient[Document](box.stack.mongo_uri) as mongo:
        cancellation = {"_id": f"{booking['id']}:cancellation"}
        entry = poll(lambda: mongo["mailer_svc"]["ledger"].find_one({**cancellation, "state": "failed"}), seconds=20)
    assert entry["reason"] == "There is no such account any more."
    told = {message_id for _, message_id in deliveries(box)} - before
    assert not any(message_id.startswith(f"<{booking['id']}.cancellation") for message_id in told)


def test_old_login_erases_nothing(box: Box, sessions_at: Redis) -> None:
    person = box.register()
    [session_id] = [one["id"] for one in own_data(person)["sessions"]]
    sessions_at.hincrby(session_key(session_id), "born", -int(RECENT.total_seconds()) - 2)
    refreshed = box.http.post("/v1/auth/refresh", headers={"Authorization": f"Bearer {person.refresh_token}"}).json()
    assert problem(erase(Person(box.http, refreshed))) == (403, "login_too_old")
    assert box.login(person.user["email"]).get("/v1/me").json()["name"] == person.user["name"]
    assert erase(box.login(person.user["email"])).status_code == 204


@pytest.mark.parametrize("role", ["organiser", "admin"])
def test_who_has_duties_is_not_erased(box: Box, role: str) -> None:
    person = give_roles(box, box.register(), "customer", role)
    assert problem(erase(person)) == (409, "has_duties")
    assert person.get("/v1/me").status_code == 200
    assert erase(give_roles(box, person, "customer")).status_code == 204


def test_admin_erases_who_cannot_do_it_themselves(box: Box, sessions_at: Redis) -> None:
    person, other, admin = box.register(), box.register(), box.admin()
    assert problem(other.delete(f"/v1/users/{person.id}")) == (403, "forbidden")
    assert problem(admin.delete(f"/v1/users/{uuid.uuid4().hex}")) == (404, "not_found")
    for _ in range(2):
        assert admin.delete(f"/v1/users/{person.id}").status_code == 204
    assert problem(person.get("/v1/me")) == (401, "session_ended")
    assert problem(log_in(box, person.user["email"])) == (401, "bad_credentials")
    [_, noted, _] = box.admin().get("/v1/audit-log", params={"user_id": person.id}).json()["items"]
    assert (noted["event"], noted["actor_id"]) == ("account_erased", admin.id)
    [session_id] = [one["id"] for one in own_data(admin)["sessions"] if one["current"]]
    sessions_at.hincrby(session_key(session_id), "born", -int(RECENT.total_seconds()) - 2)
    assert problem(admin.delete(f"/v1/users/{other.id}")) == (403, "login_too_old")
    assert other.get("/v1/me").status_code == 200


def test_many_who_erase_and_log_in_at_the_same_moment_leave_nothing(box: Box, sessions_at: Redis) -> None:
    person = box.register()
    with ThreadPoolExecutor(8) as threads:
        logins = [threads.submit(log_in, box, person.user["email"]) for _ in range(6)]
        erased = [threads.submit(erase, person) for _ in range(2)]
        assert 204 in [one.result().status_code for one in erased]
    assert not sessions_at.exists(f"home:{_account(person.user['email'])}")
    for answer in (login.result() for login in logins):
        if answer.status_code == 200:
            assert problem(Person(box.http, answer.json()).get("/v1/me")) == (401, "session_ended")
        else:
            assert problem(answer) in ((401, "bad_credentials"), (401, "session_ended"), (429, "rate_limited"))


def test_request_that_comes_again_because_its_process_died_ends_well(box: Box) -> None:
    person = box.register()
    [session] = own_data(person)["sessions"]
    asked = {"user_id": person.id, "actor_id": person.id, "session_id": session["id"]}
    with closing(RpcClient(box.stack.amqp_uri, CONTRACT_ERRORS)) as client:
        for _ in range(2):
            assert client.call("auth_svc", "erase_account", {**asked, "origin": HERE}, {}) is None
    assert problem(person.get("/v1/me")) == (401, "session_ended")


def test_sessions_end_also_if_the_process_died_in_the_middle(box: Box) -> None:
    person = box.register()
    with MongoClient[Document](box.stack.mongo_uri, tz_aware=True) as mongo:
        Users(mongo["auth_svc"]).erase(person.id)
    refreshed = box.http.post("/v1/auth/refresh", headers={"Authorization": f"Bearer {person.refresh_token}"})
    assert problem(refreshed) == (401, "session_ended")
    poll(lambda: person.get("/v1/me").status_code == 401, seconds=20)
    assert problem(person.get("/v1/me")) == (401, "session_ended")
