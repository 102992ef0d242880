"""Passwords, sessions and what comes by mail, through the API on real servers."""

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pika
import pytest
from pymongo import MongoClient

from tests.e2e.api_client import PASSWORD, Box, Person, problem
from tests.polling import poll

NEW_PASSWORD = "staple battery horse correct"


class Overheard:
    """The events of auth_svc of one type since the block began, by a queue of the test's own."""

    def __init__(self, channel: Any, queue: str, event: str) -> None:
        self._channel, self._queue, self._event = channel, queue, event
        self.bodies: list[dict[str, Any]] = []

    def of(self, user_id: str) -> list[dict[str, Any]]:
        """What was told of the user so far."""
        while (got := self._channel.basic_get(self._queue, auto_ack=True))[0] is not None:
            self.bodies.append(json.loads(got[2]))
        ours = [body for body in self.bodies if body["type"] == self._event]
        return [body["data"] for body in ours if body["data"]["user_id"] == user_id]

    def next_token(self, user_id: str) -> str:
        """The token of the last event of the user, once there is one."""
        before = len(self.of(user_id))
        return str(poll(lambda: self.of(user_id)[max(before - 1, 0) :], seconds=10)[-1]["token"])


@contextmanager
def overhearing(box: Box, event: str) -> Iterator[Overheard]:
    with pika.BlockingConnection(pika.URLParameters(box.stack.amqp_uri)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "auth_svc.events", "#")
        yield Overheard(channel, queue, event)


def change_password(person: Person, current: str = PASSWORD, new: str = NEW_PASSWORD) -> httpx.Response:
    body = {"current_password": current, "new_password": new}
    return person.api.put("/v1/me/password", json=body, headers=person.authorization)


def log_in(box: Box, email: str, password: str) -> httpx.Response:
    return box.http.post("/v1/auth/login", json={"email": email, "password": password})


def refresh(box: Box, token: str, device: str = "phone") -> httpx.Response:
    return box.http.post("/v1/auth/refresh", headers={"Authorization": f"Bearer {token}", "User-Agent": device})


# Passwords


def test_changed_password_ends_every_session_and_counts_from_then_on(box: Box) -> None:
    person = box.register()
    email = person.user["email"]
    elsewhere = box.login(email)
    assert change_password(person).status_code == 204
    for token in (person, elsewhere):
        assert problem(token.get("/v1/me")) == (401, "session_ended")
        assert problem(refresh(box, token.refresh_token)) == (401, "session_ended")
    assert problem(log_in(box, email, PASSWORD)) == (401, "bad_credentials")
    assert box.login(email, NEW_PASSWORD).get("/v1/me").status_code == 200


def test_password_is_changed_by_who_knows_it(box: Box) -> None:
    person = box.register()
    assert problem(change_password(person, current="not my password")) == (401, "bad_credentials")
    assert person.get("/v1/me").status_code == 200


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "Length"),
        ("x" * 1025, "Length"),
        ("password1234", "guessed"),
        ("PasswordPassword", "guessed"),
        ("qwertyuiop123", "guessed"),
        ("aaaaaaaaaaaaaaaa", "guessed"),
        ("I am {name}!", "address"),
        ("my mail is {email} ok", "address"),
    ],
)
def test_easy_password_is_refused_wherever_one_is_set(box: Box, password: str, why: str) -> None:
    person = box.register()
    name = f"ada{uuid.uuid4().hex[:6]}"
    email = f"{name}@example.org"
    body = {"email": email, "name": "Ada", "password": password.format(name=name, email=email)}
    answer = box.http.post("/v1/auth/register", json=body)
    assert problem(answer) == (422, "invalid")
    assert why.lower() in str(answer.json()["errors"]["password"]).lower()
    own = person.user["email"]
    changed = change_password(person, new=password.format(name=own.partition("@")[0], email=own))
    assert problem(changed) == (422, "invalid")
    assert "new_password" in changed.json()["errors"]


@pytest.mark.parametrize(
    "password", ["twelve chars", "and on and on, " * 64, "пароль с пробелами 🎻", "nul \x00 inside it"]
)
def test_every_character_of_a_password_counts(box: Box, password: str) -> None:
    email = f"{uuid.uuid4().hex}@example.org"
    answer = box.http.post("/v1/auth/register", json={"email": email, "name": "Ada", "password": password})
    assert answer.status_code == 201, answer.text
    assert log_in(box, email, password).status_code == 200
    assert log_in(box, email, password[:-1]).status_code == 401


def test_reset_by_mail_sets_a_password_once_and_ends_every_session(box: Box) -> None:
    with overhearing(box, "password_reset_requested") as told:
        person = box.register()
        email = person.user["email"]
        for address in (email.upper(), f"{uuid.uuid4().hex}@example.org", "no address"):
            answer = box.http.post("/v1/auth/password-reset", json={"email": address})
            assert (answer.status_code, answer.content) == (202, b"")
        token = told.next_token(person.id)
        weak = box.http.post("/v1/auth/password-reset/confirm", json={"token": token, "new_password": "password1234"})
        assert problem(weak) == (422, "invalid")
        confirmation = {"token": token, "new_password": NEW_PASSWORD}
        assert box.http.post("/v1/auth/password-reset/confirm", json=confirmation).status_code == 204
        again = box.http.post("/v1/auth/password-reset/confirm", json=confirmation)
    assert problem(again) == (422, "invalid")
    assert "token" in again.json()["errors"]
    assert problem(person.get("/v1/me")) == (401, "session_ended")
    assert problem(log_in(box, email, PASSWORD)) == (401, "bad_credentials")
    assert box.login(email, NEW_PASSWORD).user["email_verified"] is True


def test_mails_to_reset_a_password_are_five_an_hour(box: Box) -> None:
    with overhearing(box, "password_reset_requested") as told:
        person = box.register()
        for _ in range(8):
            answer = box.http.post("/v1/auth/password-reset", json={"email": person.user["email"]})
            assert answer.status_code == 202
        poll(lambda: len(told.of(person.id)) == 5, seconds=10)


def test_address_is_verified_by_the_token_from_the_mail(box: Box) -> None:
    with overhearing(box, "email_verification_requested") as told:
        person = box.register()
        assert person.user["email_verified"] is False
        first = told.next_token(person.id)
        assert person.post("/v1/me/email-verification").status_code == 202
        second = poll(lambda: [d["token"] for d in told.of(person.id) if d["token"] != first], seconds=10)[0]
        replaced = box.http.post("/v1/auth/verify-email", json={"token": first})
        assert problem(replaced) == (422, "invalid")
        assert box.http.post("/v1/auth/verify-email", json={"token": second}).status_code == 204
        assert person.get("/v1/me").json()["email_verified"] is True
        assert person.post("/v1/me/email-verification").status_code == 202  # and nothing is sent
        assert len(told.of(person.id)) == 2


# Sessions


def test_user_sees_where_they_are_logged_in_and_ends_one_or_all(box: Box) -> None:
    person = box.register()
    body = {"email": person.user["email"], "password": PASSWORD}
    phone = Person(box.http, box.http.post("/v1/auth/login", json=body, headers={"User-Agent": "Phone/1"}).json())
    laptop = Person(box.http, box.http.post("/v1/auth/login", json=body, headers={"User-Agent": "Laptop/2"}).json())
    shown = person.get("/v1/me/sessions").json()["items"]
    assert {item["device"] for item in shown} >= {"Phone/1", "Laptop/2"}
    assert [item["current"] for item in shown].count(True) == 1
    assert all(item["created_at"] <= item["last_seen_at"] and item["address"] for item in shown)

    ended = next(item["id"] for item in shown if item["device"] == "Phone/1")
    path = f"/v1/me/sessions/{ended}"
    stranger = box.register()
    assert problem(stranger.api.delete(path, headers=stranger.authorization)) == (404, "not_found")
    assert phone.get("/v1/me").status_code == 200
    assert laptop.api.delete(path, headers=laptop.authorization).status_code == 204
    assert problem(laptop.api.delete(path, headers=laptop.authorization)) == (404, "not_found")
    assert problem(phone.get("/v1/me")) == (401, "session_ended")
    assert len(laptop.get("/v1/me/sessions").json()["items"]) == 2

    assert laptop.api.delete("/v1/me/sessions", headers=laptop.authorization).status_code == 204
    for one in (laptop, person):
        assert problem(one.get("/v1/me")) == (401, "session_ended")
    assert stranger.get("/v1/me").status_code == 200


def test_session_is_seen_with_every_request(box: Box) -> None:
    person = box.register()

    def seen_later() -> bool:
        [shown] = person.get("/v1/me/sessions").json()["items"]
        return bool(shown["last_seen_at"] > shown["created_at"])

    poll(seen_later, seconds=5, every=0.2)


def test_fifty_refreshes_of_one_token_leave_one_chain(box: Box) -> None:
    person = box.register()
    with ThreadPoolExecutor(25) as threads:
        answers = list(threads.map(lambda _: refresh(box, person.refresh_token), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert refresh(box, successors.pop()).status_code == 200
    assert len(Person(box.http, answers[0].json()).get("/v1/me/sessions").json()["items"]) == 1


def test_fifty_refreshes_by_as_many_clients_leave_no_chain(box: Box) -> None:
    """A stolen token: one of them is first, and whoever is next ends the session for all."""
    person = box.register()
    with ThreadPoolExecutor(25) as threads:
        answers = list(threads.map(lambda n: refresh(box, person.refresh_token, f"client {n}"), range(50)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert {problem(answer) for answer in answers if answer.status_code != 200} == {(401, "session_ended")}
    assert problem(refresh(box, won[0]["refresh_token"])) == (401, "session_ended")
    assert problem(Person(box.http, won[0]).get("/v1/me")) == (401, "session_ended")


def log_out(person: Person) -> httpx.Response:
    return person.post("/v1/auth/logout")


def end_all(person: Person) -> httpx.Response:
    return person.api.delete("/v1/me/sessions", headers=person.authorization)


@pytest.mark.parametrize("end", [log_out, change_password, end_all], ids=lambda f: f.__name__)
def test_no_request_begun_after_the_end_of_a_session_gets_through(box: Box, end: Any) -> None:
    person = box.register()
    ended_at: list[float] = []
    begun: list[tuple[float, int]] = []

    def ask(_: int) -> None:
        with httpx.Client(base_url=box.stack.api_url, timeout=10) as client:
            later = 0
            while later < 3:
                began = time.monotonic()
                later += bool(ended_at)
                answer = client.get("/v1/me", headers=person.authorization)
                begun.append((began, answer.status_code))

    with ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(ask, number) for number in range(8)]
        try:
            poll(lambda: len(begun) > 40, seconds=20)
            assert end(person).status_code == 204
        finally:
            ended_at.append(time.monotonic())
        for one in asking:
            one.result()
    after = [status for began, status in begun if began >= ended_at[0]]
    assert {status for began, status in begun if began < ended_at[0]} <= {200, 401}
    assert len(after) >= 8 and set(after) == {401}


def test_login_that_races_with_new_roles_never_has_the_old_ones(box: Box) -> None:
    person, admin = box.register(), box.admin()
    path = f"/v1/users/{person.id}/roles"

    def log_in_once(_: int) -> Person | None:
        answer = log_in(box, person.user["email"], PASSWORD)
        if answer.status_code == 200:
            return Person(box.http, answer.json())
        assert problem(answer) in ((401, "session_ended"), (503, "unavailable"), (429, "rate_limited"))
        return None

    for round_ in range(6):
        roles = ["customer", "organiser"] if round_ % 2 else ["customer"]
        with ThreadPoolExecutor(5) as threads:
            logins = [threads.submit(log_in_once, number) for number in range(4)]
            given = threads.submit(box.http.put, path, json={"roles": roles}, headers=admin.authorization)
            assert given.result().status_code == 200
            people = [login.result() for login in logins]
        for one in filter(None, people):
            answer = one.get("/v1/concerts/mine")
            allowed = 200 if "organiser" in roles else 403
            assert answer.status_code in (401, allowed), f"{answer.status_code} with {roles}"


def test_guessing_makes_wait_and_says_how_long(box: Box) -> None:
    person = box.register()
    answers = [log_in(box, person.user["email"], f"wrong password {number}") for number in range(14)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {problem(answer) for answer in answers} == {(401, "bad_credentials"), (429, "rate_limited")}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert len(answers) - len(refused) <= 12
    nobody = f"{uuid.uuid4().hex}@example.org"
    strangers = [log_in(box, nobody, f"wrong password {number}").status_code for number in range(14)]
    assert {*strangers} == {401, 429}, "an unknown address is not told from a known one"


# The audit log


def entries(box: Box, **wanted: Any) -> list[dict[str, Any]]:
    answer = box.admin().get("/v1/audit-log", params={"limit": 100, **wanted})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def test_audit_log_tells_who_did_what_from_where_and_by_which_request(box: Box) -> None:
    person, admin = box.register(), box.admin()
    log_in(box, person.user["email"], "not my password")
    named = {"X-Request-ID": f"audit-{uuid.uuid4().hex}", "User-Agent": "Phone/1"}
    box.http.put(
        f"/v1/users/{person.id}/roles",
        json={"roles": ["customer", "organiser"]},
        headers={**admin.authorization, **named},
    )
    again = box.login(person.user["email"])
    assert again.get("/v1/audit-log").status_code == 403
    refresh(box, again.refresh_token)
    refresh(box, again.refresh_token, "a thief")
    change_password(box.login(person.user["email"]))
    told = entries(box, user_id=person.id)
    assert [entry["event"] for entry in reversed(told)] == [
        "registered", "login_failed", "roles_changed", "logged_in", "access_denied", "refresh_token_reused",
        "logged_in", "password_changed",
    ]  # fmt: skip
    [changed] = [entry for entry in told if entry["event"] == "roles_changed"]
    assert (changed["actor_id"], changed["details"]) == (admin.id, {"roles": ["customer", "organiser"]})
    assert (changed["request_id"], changed["device"]) == (named["X-Request-ID"], "Phone/1")
    assert all(entry["address"] == "127.0.0.1" and entry["request_id"] for entry in told)
    [denied] = [entry for entry in told if entry["event"] == "access_denied"]
    assert denied["details"] == {"what": "GET /v1/audit-log"}


def test_audit_log_is_read_in_pages_and_never_written_by_the_api(box: Box) -> None:
    admin = box.admin()
    first = admin.get("/v1/audit-log", params={"limit": 2}).json()
    second = admin.get("/v1/audit-log", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert len({entry["id"] for entry in first["items"] + second["items"]}) == 4
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = box.http.request(method, "/v1/audit-log", headers=admin.authorization)
        assert problem(answer) == (405, "method_not_allowed")


def test_no_log_holds_a_password_token_name_or_address(box: Box) -> None:
    """
    The canaries go all ways there are, right and wrong; then every log of the run is read.

    For MongoDB all that takes a tenth of a second is slow; here everything is.
    """
    with MongoClient[dict[str, Any]](box.stack.mongo_uri) as mongo:
        mongo.admin.command("profile", 0, slowms=-1)
        try:
            look_for_canaries(box)
        finally:
            mongo.admin.command("profile", 0, slowms=100)


def look_for_canaries(box: Box) -> None:
    canary = f"canary {uuid.uuid4().hex} song"
    email = f"{uuid.uuid4().hex}@example.org"
    with overhearing(box, "password_reset_requested") as told:
        body = {"email": email, "name": f"Ada {email[:32]}", "password": canary}
        person = Person(box.http, box.http.post("/v1/auth/register", json=body).json())
        box.http.post("/v1/auth/register", json=body)
        log_in(box, email, f"wrong {canary}")
        change_password(person, current=f"wrong {canary}", new=f"new {canary}")
        refreshed = refresh(box, person.refresh_token).json()
        refresh(box, person.refresh_token, "thief")
        box.http.post("/v1/auth/password-reset", json={"email": email})
        token = told.next_token(person.id)
        for _ in range(2):
            box.http.post("/v1/auth/password-reset/confirm", json={"token": token, "new_password": f"newest {canary}"})
        box.http.get("/v1/me", headers={"Authorization": f"Bearer {person.access_token}x"})
    secrets = [canary, email[:32], token, person.access_token, person.refresh_token, refreshed["refresh_token"]]
    logs = [file for file in (box.stack.data_dir / "logs").rglob("*") if file.is_file()]
    assert len(logs) >= 8
    for text in [*(file.read_text(errors="replace") for file in logs), json.dumps(entries(box))]:
        assert not [secret for secret in secrets if secret in text]


def test_admin_finds_who_has_an_address_and_it_is_noted(box: Box) -> None:
    person, admin = box.register(), box.admin()
    found = admin.post("/v1/users/find", {"email": person.user["email"].upper()})
    assert (found.status_code, found.json()) == (200, person.user)
    assert problem(admin.post("/v1/users/find", {"email": f"{uuid.uuid4().hex}@example.org"})) == (404, "not_found")
    assert problem(person.post("/v1/users/find", {"email": person.user["email"]})) == (403, "forbidden")
    noted = {entry["event"]: entry for entry in entries(box, user_id=person.id)}
    assert noted["user_found"]["actor_id"] == admin.id
