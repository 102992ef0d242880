"""HTTP itself: forms, sizes, tags, compression and headers, at a gateway without a platform behind it."""

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from gateway import headers, sessions, tokens
from gateway.app import create_app
from gateway.config import MissingSetting, from_environment

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMQP_URI", "amqp://127.0.0.1:1/")
        patch.setenv("SESSION_REDIS_URL", "redis://127.0.0.1:1/0")
        patch.setenv("JWT_SECRET_KEY", "0123456789abcdef" * 4)
        patch.setenv("CORS_ORIGINS", "https://shop.example.org http://localhost:8080")
        yield create_app(from_environment()).test_client()


def refused(answer: Any) -> tuple[int, str]:
    assert answer.content_type == "application/problem+json"
    return answer.status_code, answer.json["code"]


def test_what_the_client_does_not_accept_is_refused_before_anything_is_done(client: FlaskClient) -> None:
    answer = client.post("/v1/auth/login", json={"email": "a@b.org", "password": "x"}, headers={"Accept": "text/html"})
    assert refused(answer) == (406, "not_acceptable")


@pytest.mark.parametrize("accept", ["", "*/*", "application/*", "text/html, application/json;q=0.1"])
def test_what_may_be_json_is_json(client: FlaskClient, accept: str) -> None:
    assert client.get("/openapi.json", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/auth/login", "/v1/nothing"])
def test_body_says_how_long_it_is(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method, headers={**JSON, "Transfer-Encoding": "chunked"})
    assert refused(answer) == (411, "length_required")


def test_body_is_at_most_64_kib(client: FlaskClient) -> None:
    assert refused(client.post("/v1/auth/login", data=b" " * 65_537, headers=JSON)) == (413, "content_too_large")
    assert refused(client.post("/v1/auth/login", data=b" " * 65_536, headers=JSON)) == (400, "malformed_json")


@pytest.mark.parametrize("body", ["[" * 33 + "]" * 33, '{"a":' * 33 + "1" + "}" * 33, "[" * 60_000, '{"a":' * 9_000])
def test_body_is_at_most_32_deep(client: FlaskClient, body: str) -> None:
    assert refused(client.post("/v1/auth/login", data=body, headers=JSON)) == (400, "malformed_json")


def test_body_that_is_not_said_to_be_json_is_refused(client: FlaskClient) -> None:
    answer = client.post("/v1/auth/login", data="{}", headers={"Content-Type": "text/plain"})
    assert refused(answer) == (415, "unsupported_media_type")


BODILESS = [("POST", "/v1/auth/logout"), ("POST", "/v1/bookings/b/cancel"), ("DELETE", "/v1/holds/h")]


@pytest.fixture
def admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whom every route lets in."""
    someone = sessions.Identity("u1", "s1", ["customer", "organiser", "admin"])
    monkeypatch.setattr(tokens, "read", lambda: None)
    monkeypatch.setattr(sessions, "_identify", lambda claims: someone)


@pytest.mark.usefixtures("admitted")
@pytest.mark.parametrize(("method", "path"), BODILESS)
def test_body_where_none_is_meant_is_refused_by_field(client: FlaskClient, method: str, path: str) -> None:
    for body, named in (
        (b'{"reason": "rain", "x": 1}', {"reason", "x"}), (b"[1]", {"body"}), (b"1", {"body"}),
        (b"reason=rain", {"body"}), (b"[" * 60_000, {"body"}), (b'{"\\ud800": 1}', {"?"}),
    ):  # fmt: skip
        answer = client.open(path, method=method, data=body, headers=JSON)
        assert refused(answer) == (422, "invalid")
        assert answer.json["errors"].keys() == named


@pytest.mark.usefixtures("admitted")
@pytest.mark.parametrize(("method", "path"), BODILESS)
def test_empty_body_says_nothing(client: FlaskClient, method: str, path: str) -> None:
    for body in (b"", b" ", b"{}"):
        assert refused(client.open(path, method=method, data=body, headers=JSON)) == (503, "unavailable")


@pytest.mark.usefixtures("admitted")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *BODILESS,
        *(("GET", f"/v1/{path}") for path in ("concerts", "concerts/c/seats", "audit-log")),
        ("POST", "/v1/holds"),
    ],
)
def test_unknown_parameter_is_refused_by_name(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(f"{path}?colour=red&limit[$gt]=1", method=method)
    assert refused(answer) == (422, "invalid")
    assert answer.json["errors"] == {"colour": ["Unknown field."], "limit[$gt]": ["Unknown field."]}


def test_who_is_nobody_learns_nothing_of_parameters(client: FlaskClient) -> None:
    assert refused(client.get("/v1/bookings?colour=red")) == (401, "not_authenticated")


def test_unknown_method_is_told_the_known_ones(client: FlaskClient) -> None:
    answer = client.put("/v1/bookings")
    assert refused(answer) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}


def test_head_is_get_without_its_body(client: FlaskClient) -> None:
    got, asked = client.get("/openapi.json"), client.head("/openapi.json")
    assert (asked.status_code, asked.data) == (200, b"")
    for header in ("Content-Type", "Content-Length", "ETag"):
        assert asked.headers[header] == got.headers[header]


def test_options_tells_the_methods(client: FlaskClient) -> None:
    answer = client.options("/v1/me")
    assert answer.status_code == 200
    assert set(answer.headers["Allow"].split(", ")) >= {"GET", "HEAD", "OPTIONS", "PATCH"}


def test_who_has_the_answer_already_gets_304(client: FlaskClient) -> None:
    got = client.get("/openapi.json")
    for known in (got.headers["ETag"], f'"other", {got.headers["ETag"]}', "*"):
        again = client.get("/openapi.json", headers={"If-None-Match": known})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == got.headers["ETag"]
    assert client.get("/openapi.json", headers={"If-None-Match": '"other"'}).status_code == 200


def test_tag_is_the_same_whether_compressed_or_not(client: FlaskClient) -> None:
    plain = client.get("/openapi.json")
    packed = client.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 3
    assert json.loads(gzip.decompress(packed.data)) == plain.json
    assert "Accept-Encoding" in packed.headers["Vary"] and "Accept-Encoding" in plain.headers["Vary"]


def test_compression_may_be_ruled_out(client: FlaskClient) -> None:
    for coding in ("gzip;q=0", "identity", "br"):
        assert "Content-Encoding" not in client.get("/openapi.json", headers={"Accept-Encoding": coding}).headers


@pytest.mark.parametrize("status", [202, 204])
def test_answer_without_a_body_has_no_form(status: int) -> None:
    app = Flask(__name__)
    app.config["CORS_ORIGINS"] = []
    headers.register(app)
    app.add_url_rule("/", view_func=lambda: Response(status=status))
    answer = app.test_client().get("/")
    assert "Content-Type" not in answer.headers
    assert answer.headers.get("Content-Length") == {202: "0", 204: None}[status]


def test_scheme_of_a_token_may_be_in_any_case(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_identify", lambda claims: sessions.Identity(claims.user_id, claims.session_id, []))
    session = {"id": "s1", "refreshed_at": int(time.time()), "refresh_id": "r1"}
    with client.application.app_context():
        token = tokens.issue(cast(Any, {"user": {"id": "u1"}, "session": session})).access_token
    for scheme in ("Bearer ", "bearer ", "BEARER "):
        assert refused(client.get("/v1/me", headers={"Authorization": scheme + token})) == (503, "unavailable")
    for scheme in ("Basic ", "bearer", "bearer  x ", "bear er ", ""):
        assert refused(client.get("/v1/me", headers={"Authorization": scheme + token})) == (401, "not_authenticated")


def test_refusal_is_kept_by_nobody(client: FlaskClient) -> None:
    assert client.get("/v1/nothing").headers["Cache-Control"] == "no-store"


def test_every_answer_has_the_headers_that_protect_browsers(client: FlaskClient) -> None:
    for path in ("/v1/nothing", "/openapi.json", "/docs", "/errors", "/health/live"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Request-ID"]


def test_request_id_goes_in_and_out(client: FlaskClient) -> None:
    assert client.get("/v1/nothing", headers={"X-Request-ID": "a-1"}).headers["X-Request-ID"] == "a-1"
    assert client.get("/v1/nothing", headers={"X-Request-ID": "a-1"}).json["request_id"] == "a-1"
    assert client.get("/v1/nothing", headers={"X-Request-ID": "a 1"}).headers["X-Request-ID"] != "a 1"


def test_site_that_is_listed_may_call(client: FlaskClient) -> None:
    asked = {"Origin": "https://shop.example.org", "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "authorization, idempotency-key"}  # fmt: skip
    answer = client.options("/v1/bookings", headers=asked)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example.org"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"].lower() == "authorization, idempotency-key"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    read = client.get("/v1/nothing", headers={"Origin": "http://localhost:8080"})
    assert read.headers["Access-Control-Allow-Origin"] == "http://localhost:8080"
    assert "ETag" in read.headers["Access-Control-Expose-Headers"]
    assert "Origin" in read.headers["Vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://shop.example.org.evil.example", "null", "http://shop.example.org"]
)
def test_other_sites_may_not(client: FlaskClient, origin: str) -> None:
    answer = client.options("/v1/bookings", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]


@pytest.mark.parametrize("origins", ["*", "shop.example.org", "https://*.example.org", "https://shop.example.org/"])
def test_what_is_no_site_is_refused_at_the_start(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URI", "amqp://127.0.0.1:1/")
    monkeypatch.setenv("SESSION_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("JWT_SECRET_KEY", "0123456789abcdef" * 4)
    monkeypatch.setenv("CORS_ORIGINS", origins)
    with pytest.raises(MissingSetting, match="CORS_ORIGINS"):
        from_environment()


def test_docs_load_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/docs").text
    assert "//" not in page.replace("<!doctype", "")
    for file in ("swagger-ui-bundle.js", "swagger-ui.css", "docs.js", "docs.css", "icon.svg"):
        assert f"/docs/{file}" in page
        got = client.get(f"/docs/{file}", headers={"Accept-Encoding": "gzip"})
        assert (got.status_code, got.headers["Content-Encoding"]) == (200, "gzip")
        again = client.get(f"/docs/{file}", headers={"If-None-Match": got.headers["ETag"]})
        assert again.status_code == 304
    for other in ("swagger-ui.css.map", "..", "docs.py", "%2e%2e%2fapp.py"):
        assert client.get(f"/docs/{other}").status_code == 404
