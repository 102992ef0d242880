"""Bad input gets a clear answer that names the field; nothing is a 500."""

import json
import socket
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.api_client import Box, Person, concert_body, problem


@pytest.fixture(scope="module")
def organiser(box: Box) -> Person:
    return box.organiser()


def test_what_is_not_json_is_malformed(box: Box) -> None:
    answer = box.http.post("/v1/auth/login", content=b"{nope", headers={"Content-Type": "application/json"})
    assert problem(answer) == (400, "malformed_json")


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"[1,2]", b'"text"', b"null", b"[" * 10_000, b'{"email": 1e400}', b"9" * 5000]
)
def test_odd_json_is_refused_without_a_fault(box: Box, body: bytes) -> None:
    answer = box.http.post("/v1/auth/login", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer)[0] in (400, 422)


def test_every_wrong_field_is_named(organiser: Person) -> None:
    body = concert_body(title="", performers=[], max_tickets_per_user=True, starts_at="soon", colour="red")
    body["venue"]["timezone"] = "Mars/Olympus"
    body["ticket_types"][0]["price"]["amount"] = 45.5
    answer = organiser.post("/v1/concerts", body)
    assert problem(answer) == (422, "invalid")
    assert set(answer.json()["errors"]) == {
        "title", "performers", "max_tickets_per_user", "starts_at", "colour", "venue", "ticket_types",
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "two\nlines"},
        {"title": "nul\x00"},
        {"title": "\ud800"},
        {"starts_at": "0001-01-01T00:00:00+14:00"},
        {"starts_at": "9999-12-31T23:59:59-14:00"},
        {"starts_at": "2030-01-01T00:00:00"},
        {"max_tickets_per_user": 2**63},
        {"description": {"$gt": ""}},
    ],
    ids=str,
)
def test_values_that_break_lesser_systems_are_refused(organiser: Person, changes: dict[str, Any]) -> None:
    assert problem(organiser.post("/v1/concerts", concert_body(**changes))) == (422, "invalid")


def test_a_privilege_cannot_be_registered(box: Box) -> None:
    body = {"email": "eve@example.org", "password": "correct horse battery", "name": "Eve", "roles": ["admin"]}
    answer = box.http.post("/v1/auth/register", json=body)
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"] == {"roles": ["Unknown field."]}


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer \xe9"])
def test_a_token_that_is_not_ours_is_refused(box: Box, token: str) -> None:
    answer = box.http.get("/v1/me", headers={"Authorization": token.encode("latin-1")})
    assert problem(answer) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_refresh_token_opens_no_door(box: Box) -> None:
    person = box.register()
    answer = box.http.get("/v1/me", headers={"Authorization": f"Bearer {person.refresh_token}"})
    assert problem(answer) == (401, "not_authenticated")


def test_http_itself_is_answered_in_the_same_form(box: Box) -> None:
    assert problem(box.http.get("/v1/nothing")) == (404, "not_found")
    wrong_method = box.http.delete("/v1/concerts")
    assert problem(wrong_method) == (405, "method_not_allowed")
    assert "POST" in wrong_method.headers["Allow"]
    for other in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        text = box.http.post("/v1/auth/login", content=b'{"email": "x"}', headers={"Content-Type": other})
        assert problem(text) == (415, "unsupported_media_type")
    large = box.http.post("/v1/auth/login", content=b"x" * 70_000, headers={"Content-Type": "application/json"})
    assert problem(large) == (413, "content_too_large")


@pytest.mark.parametrize("limit", ["0", "101", "x", "1e9"])
def test_a_page_has_a_limit(box: Box, limit: str) -> None:
    answer = box.http.get("/v1/concerts", params={"limit": limit})
    assert problem(answer) == (422, "invalid")
    assert "limit" in answer.json()["errors"]


def test_the_type_of_a_problem_leads_to_its_meaning(box: Box) -> None:
    page, _, code = box.http.get("/v1/nothing").json()["type"].partition("#")
    assert f'id="{code}"' in box.http.get(page).text


def test_a_request_id_comes_back_unless_it_could_do_harm(box: Box) -> None:
    kept = box.http.get("/health/live", headers={"X-Request-ID": "order-4711"})
    assert kept.headers["X-Request-ID"] == "order-4711"
    replaced = box.http.get("/health/live", headers={"X-Request-ID": "a b <script>"})
    assert replaced.headers["X-Request-ID"] not in ("", "a b <script>")


@pytest.mark.parametrize(
    ("request_line", "headers", "expected"),
    [
        ("GET /health/live?" + "x" * 5000 + " HTTP/1.1", "Host: x", (414, "uri_too_long")),
        ("GET /health/live HTTP/1.1", "Host: x\r\nX-Long: " + "x" * 9000, (431, "headers_too_large")),
        ("GET /health/live HTTP/9.9", "Host: x", (400, "malformed_request")),
        ("GET /health/live HTTP/1.1", "Host: x\r\nBad Header: x", (400, "malformed_request")),
        ("POST /v1/auth/login HTTP/1.1", "Host: x\r\nTransfer-Encoding: magic", (400, "malformed_request")),
        ("\x16\x03\x01 is TLS", "", (400, "malformed_request")),
    ],
    ids=["uri", "header", "version", "name", "coding", "tls"],
)
def test_what_is_not_http_is_answered_in_the_same_form(
    box: Box, request_line: str, headers: str, expected: tuple[int, str]
) -> None:
    address = urlsplit(box.stack.api_url)
    assert address.hostname and address.port
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(f"{request_line}\r\n{headers}\r\n\r\n".encode("latin-1"))
        answer = HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status, body["code"]) == expected
    assert body["request_id"] == answer.headers["X-Request-ID"]
