"""Rate limits, counted in a real Redis, by a gateway in this process that has them."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from auth_svc.contract import BadCredentials
from gateway import tokens
from gateway.app import create_app
from gateway.config import from_environment
from tests.local_stack import LocalStack, free_port

Start = Callable[..., FlaskClient]


@pytest.fixture
def start(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a gateway with these settings beside those of the run."""
    started: list[Flask] = []

    def gateway(**settings: str) -> FlaskClient:
        needed = {
            "AMQP_URI": stack.amqp_uri,
            "SESSION_REDIS_URL": stack.session_redis_url,
            "JWT_SECRET_KEY": "0123456789abcdef" * 4,
            "RATELIMIT_ENABLED": "true",
        }
        for name, value in {**needed, **settings}.items():
            monkeypatch.setenv(name, value)
        started.append(create_app(from_environment()))
        return started[-1].test_client()

    yield gateway
    for app in started:
        app.extensions["rpc"].close()


def address() -> dict[str, str]:
    """A client that nobody has counted yet."""
    return {"REMOTE_ADDR": f"2001:db8::{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}"}


def statuses(ask: Callable[[], TestResponse], times: int) -> list[int]:
    return [ask().status_code for _ in range(times)]


def log_in(client: FlaskClient, **environ: Any) -> TestResponse:
    body = {"email": f"{uuid.uuid4().hex}@example.org", "password": "not a password"}
    return client.post("/v1/auth/login", json=body, environ_base=environ)


def test_who_asks_too_often_is_told_when_to_come_back(start: Start) -> None:
    client, one = start(RATELIMIT_READS="3 per minute"), address()
    assert statuses(lambda: client.get("/v1/concerts", environ_base=one), 5) == [200, 200, 200, 429, 429]
    refused = client.get("/v1/concerts", environ_base=one)
    assert refused.content_type == "application/problem+json"
    assert refused.json and refused.json["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert client.get("/v1/concerts", environ_base=address()).status_code == 200


def test_each_route_is_limited(start: Start) -> None:
    client = start(RATELIMIT_READS="1 per hour", RATELIMIT_WRITES="1 per hour", RATELIMIT_ACCOUNTS="1 per hour")
    for rule in client.application.url_map.iter_rules():
        method = next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        one = address()
        path = rule.rule.replace("<string:", "").replace(">", "")
        asked = statuses(lambda: client.open(path, method=method, environ_base=one), 2)  # noqa: B023
        assert asked[1] == 429, f"{method} {rule.rule}: {asked}"
        assert asked[0] != 429, f"{method} {rule.rule}: {asked}"


def test_reads_writes_and_accounts_are_counted_apart(start: Start) -> None:
    client, one = start(RATELIMIT_READS="2 per minute", RATELIMIT_ACCOUNTS="2 per minute"), address()
    assert statuses(lambda: log_in(client, **one), 3)[-1] == 429
    assert statuses(lambda: client.get("/v1/concerts", environ_base=one), 3) == [200, 200, 429]
    assert client.post("/v1/holds", environ_base=one).status_code == 401


def test_user_is_counted_wherever_they_are_and_apart_from_their_address(start: Start, stack: LocalStack) -> None:
    client, one = start(RATELIMIT_READS="3 per minute", RATELIMIT_ACCOUNTS="100 per minute"), address()
    body = {"email": f"{uuid.uuid4().hex}@example.org", "password": "correct horse battery", "name": "Ada"}
    people = []
    for _ in range(2):
        body["email"] = f"{uuid.uuid4().hex}@example.org"
        answer = client.post("/v1/auth/register", json=body, environ_base=one)
        assert answer.status_code == 201, answer.text
        people.append({"Authorization": f"Bearer {(answer.json or {})['access_token']}"})
    ada, ben = people
    assert statuses(lambda: client.get("/v1/me", headers=ada, environ_base=address()), 4) == [200, 200, 200, 429]
    assert statuses(lambda: client.get("/v1/me", headers=ben, environ_base=one), 1) == [200]
    assert statuses(lambda: client.get("/v1/concerts", environ_base=one), 1) == [200]


def test_bad_tokens_are_counted_by_address(start: Start) -> None:
    client, one = start(RATELIMIT_READS="3 per minute"), address()
    bad = {"Authorization": "Bearer a.b.c"}
    assert statuses(lambda: client.get("/v1/me", headers=bad, environ_base=one), 4) == [401, 401, 401, 429]


def test_ended_session_is_counted_by_address_and_not_for_its_user(start: Start) -> None:
    client, one = start(RATELIMIT_READS="3 per minute", RATELIMIT_ACCOUNTS="100 per minute"), address()
    person = {"email": f"{uuid.uuid4().hex}@example.org", "password": "correct horse battery"}
    first = client.post("/v1/auth/register", json={**person, "name": "Ada"}, environ_base=one).json
    second = client.post("/v1/auth/login", json=person, environ_base=one).json
    ended, lasting = ({"Authorization": f"Bearer {(answer or {})['access_token']}"} for answer in (first, second))
    assert client.post("/v1/auth/logout", headers=ended, environ_base=one).status_code == 204
    assert statuses(lambda: client.get("/v1/me", headers=ended, environ_base=one), 4) == [401, 401, 401, 429]
    assert statuses(lambda: client.get("/v1/me", headers=lasting, environ_base=one), 4) == [200, 200, 200, 429]


@pytest.mark.parametrize(("proxies", "counted"), [("0", "the proxy"), ("1", "the client"), ("2", "the one before")])
def test_forwarded_address_is_believed_for_as_many_proxies_as_there_are(
    start: Start, proxies: str, counted: str
) -> None:
    client, proxy = start(RATELIMIT_READS="1 per minute", TRUSTED_PROXIES=proxies), address()

    def ask(before: str, forwarded: str) -> int:
        headers = {"X-Forwarded-For": f"{before}, {forwarded}"}
        return client.get("/v1/concerts", headers=headers, environ_base=proxy).status_code

    a, b, c, d = (address()["REMOTE_ADDR"] for _ in range(4))
    assert ask(a, b) == 200
    assert (ask(a, c) == 429) == (counted in ("the proxy", "the one before"))
    assert (ask(d, b) == 429) == (counted in ("the proxy", "the client"))


def test_without_limits_nobody_is_counted(start: Start) -> None:
    client, one = start(RATELIMIT_READS="1 per minute", RATELIMIT_ENABLED="false"), address()
    assert statuses(lambda: client.get("/v1/concerts", environ_base=one), 5) == [200] * 5


def test_without_redis_each_process_counts_and_tokens_open_nothing(start: Start) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    client, one = start(RATELIMIT_READS="3 per minute", SESSION_REDIS_URL=f"redis://{nowhere}/0"), address()
    assert statuses(lambda: client.get("/v1/concerts", environ_base=one), 4) == [200, 200, 200, 429]
    with client.application.app_context():
        session = {"id": "s", "refresh_id": "r", "refreshed_at": 1}
        token = tokens.issue({"user": {"id": "u"}, "session": session}).access_token  # type: ignore[typeddict-item]
    answer = client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}, environ_base=address())
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_flood_of_logins_is_turned_away_and_others_are_not(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(RATELIMIT_ENABLED="false", GATEWAY_THREADS="4")
    over, inside = threading.Event(), threading.Semaphore(0)

    def slow(**_: Any) -> None:
        inside.release()
        over.wait(20)
        raise BadCredentials

    monkeypatch.setattr(type(client.application.extensions["services"].auth), "__getattr__", lambda *_: slow)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(log_in, client.application.test_client()) for _ in range(2)]
        for _ in waiting:
            assert inside.acquire(timeout=10)
        shed = log_in(client)
        assert (shed.status_code, shed.headers["Retry-After"]) == (503, "1")
        assert client.get("/health/live").status_code == 200
        over.set()
        assert {answer.result().status_code for answer in waiting} == {401}
    assert log_in(client).status_code == 401
