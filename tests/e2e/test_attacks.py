"""What attackers send: operators for strings, values that break programs, lines in names. Nothing of it is a 500."""

import copy
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.api_client import Box, Person, concert_body, problem
from tests.e2e.mail_folder import mails_with
from tests.e2e.test_matrix import Operation, World, good_bodies, operations, parameters, who_may
from tests.polling import poll

Place = tuple[str | int, ...]

OPERATORS: list[Any] = [
    {"$gt": ""}, {"$ne": None}, {"$where": "sleep(5000)"}, {"$regex": ".*"}, {"$in": [""]}, {"$exists": True},
    {"$function": {"body": "return true", "args": [], "lang": "js"}}, [{"$gt": ""}],
]  # fmt: skip
#: What usually ends in a 500 somewhere between Python, AMQP, BSON and Redis.
BREAKERS: list[Any] = [
    None, True, [], {}, "", "\x00", "a\x00b", "\ud800", "a\udfffb", "x" * 60_000, 0, -1, -0.0, 1.5, 2**31, 2**63, 2**64,
    10**30, 1e308, "NaN", "Infinity", "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "𝕏" * 300, "\u202e\u2028", "../../etc/passwd", "' OR 1=1 --", "{{7*7}}", "%s%n", "${jndi:ldap://x}",
    "000000000000000000000000", {"$oid": "0"}, {"$date": "x"}, {"__proto__": {}}, [[[[]]]],
]  # fmt: skip


@pytest.fixture(scope="module")
def world(box: Box) -> World:
    return World(box)


@pytest.fixture(scope="module")
def raw(box: Box) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=box.stack.api_url, timeout=20) as client:
        yield client


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each single value in *value*, and where it is."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, (*place, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from leaves(part, (*place, number))
    else:
        yield place, value


def put(body: Any, place: Place, value: Any) -> Any:
    changed = copy.deepcopy(body)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return changed


def send(
    raw: httpx.Client, operation: Operation, path: str, body: Any, person: Person, key: str | None = None
) -> httpx.Response:
    # Not httpx's own JSON: it cannot write half a character, which an attacker may well send.
    headers = {"Content-Type": "application/json", "Idempotency-Key": key or uuid.uuid4().hex, **person.authorization}
    return raw.request(operation[0], path, content=json.dumps(body).encode(), headers=headers)


def each_body(box: Box, world: World) -> Iterator[tuple[Operation, str, Any, Person]]:
    for operation, described in operations(box).items():
        body = good_bodies(world).get(operation)
        if body is not None:
            names = {name: world.name(name, operation) for name in parameters(operation[1])}
            yield operation, operation[1].format(**names), body, world.people[who_may(described)]


def test_operator_for_a_string_is_refused_by_the_name_of_its_field(box: Box, world: World, raw: httpx.Client) -> None:
    tried = 0
    for operation, path, body, person in each_body(box, world):
        for place, value in leaves(body):
            for operator in OPERATORS if isinstance(value, str) else ():
                answer = send(raw, operation, path, put(body, place, operator), person)
                assert problem(answer) == (422, "invalid"), f"{operation} {place} {operator}: {answer.text[:300]}"
                assert str(place[0]) in answer.json()["errors"], f"{operation} {place} {operator}: {answer.text[:300]}"
                tried += 1
    assert tried > 100


def test_value_that_breaks_programs_breaks_nothing_in_any_field(box: Box, world: World, raw: httpx.Client) -> None:
    tried = 0
    for operation, path, body, person in each_body(box, world):
        for place, _ in leaves(body):
            for breaker in BREAKERS:
                answer = send(raw, operation, path, put(body, place, breaker), person)
                assert answer.status_code < 500, f"{operation} {place} {breaker!r}: {answer.text[:300]}"
                tried += 1
    assert tried > 500


def test_value_that_breaks_programs_breaks_no_path_or_query(box: Box, world: World, raw: httpx.Client) -> None:
    texts = ["%00", "%ff%fe", "%ed%a0%80", "..%2f..%2f", "%7B%22%24gt%22%3A%22%22%7D", "x" * 3000, "%0d%0aX-Evil:%201",
             "-1", "1e400", "0000", "%F0%9D%95%8F", "null", "__class__", "*"]  # fmt: skip
    for (method, path), described in operations(box).items():
        person = world.people[who_may(described)]
        names = parameters(path)
        queries = [p["name"] for p in described.get("parameters", []) if p.get("in") == "query"]
        ends_session = path in ("/v1/auth/logout", "/v1/me/sessions") and method != "GET"
        for text in texts if (names or queries) and not ends_session else ():
            filled = path.format(**dict.fromkeys(names, text))
            query = "&".join(f"{name}={text}" for name in queries)
            answer = raw.request(method, f"{filled}?{query}", headers=person.authorization)
            assert answer.status_code < 500, f"{method} {path} with {text}: {answer.text[:300]}"
            assert "X-Evil" not in answer.headers


@pytest.mark.parametrize(
    "query",
    ["limit[$gt]=1", "cursor[$ne]=x", "user_id[$ne]=x", "user_id=a&user_id=b", "event[$regex]=.*", "limit=1&limit=2"],
)
def test_query_holds_no_operators(world: World, raw: httpx.Client, query: str) -> None:
    answer = raw.get(f"/v1/audit-log?{query}", headers=world.people["admin"].authorization)
    assert answer.status_code in (200, 422)  # what it does not know it does not heed


@pytest.mark.parametrize(
    "body",
    [
        b'{"email": "a@example.org", "email": {"$gt": ""}, "password": "x"}', b'{"email": NaN, "password": "x"}',
        b'{"email": "a@example.org", "password": -Infinity}', b'{"email": "\\ud800", "password": "x"}',
        b"\xef\xbb\xbf{}", b'{"email": "\xff"}', b"{" * 5000, b"9" * 5000, b'{"a": 1e99999}', b"", b" ", b"\x00",
        b'{"email": "a@example.org", "password": "x"} {}', json.dumps({"email": "a@example.org"}).encode("utf-16"),
    ],
    ids=lambda body: str(body[:40]),
)  # fmt: skip
def test_odd_body_is_refused_without_a_fault(raw: httpx.Client, body: bytes) -> None:
    answer = raw.post("/v1/auth/login", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 401, 415, 422), answer.text


# Header injection: names and titles end in the headers of mails.


@pytest.mark.parametrize(
    "name",
    [
        "x\r\nBcc: eve@example.org", "x\nBcc: eve@example.org", "x\rBcc: eve@example.org", "x\x00", "x\x0bBcc: e@x",
        "x\x85Bcc: eve@example.org", "x\u2028Bcc: eve@example.org", "x\u2029Bcc: eve@example.org", "x\u202egro.elpmaxe",
        "=?utf-8?q?x=0D=0ABcc:=20eve=40example.org?=", "x =?utf-8?B?DQpCY2M6IGV2ZUBleGFtcGxlLm9yZw==?=",
    ],
    ids=ascii,
)  # fmt: skip
def test_name_has_one_line_and_goes_one_way(box: Box, world: World, raw: httpx.Client, name: str) -> None:
    registration = {"email": f"{uuid.uuid4().hex}@example.org", "password": "correct horse battery", "name": name}
    person = world.people["other"]
    for operation, body in (
        (("POST", "/v1/auth/register"), registration),
        (("PATCH", "/v1/me"), {"name": name}),
    ):
        answer = send(raw, operation, operation[1], body, person)
        assert problem(answer) == (422, "invalid")
        assert set(answer.json()["errors"]) == {"name"}
    answer = send(raw, ("POST", "/v1/concerts"), "/v1/concerts", concert_body(title=name), world.people["organiser"])
    assert set(answer.json()["errors"]) == {"title"}


@pytest.mark.parametrize(
    "address",
    [
        "a@b.org\r\nBcc: eve@example.org", "a@b.org\nBcc: e@x.org", "a@b.org,eve@example.org", "<a@b.org>", "a b@c.org",
        '"a\r\nb"@c.org', "a@b.org\x00", "x" * 320 + "@example.org", "a@" + "x" * 320, "a@b@c.org", "@example.org",
        "a@",
    ],
    ids=lambda a: ascii(a[:40]),
)  # fmt: skip
def test_address_is_one_address(raw: httpx.Client, address: str) -> None:
    body = {"email": address, "password": "correct horse battery", "name": "Eve"}
    answer = raw.post("/v1/auth/register", json=body)
    assert problem(answer) == (422, "invalid")
    assert set(answer.json()["errors"]) == {"email"}


def test_strange_name_that_is_allowed_adds_no_header_to_the_mail(box: Box) -> None:
    name = 'Ada "<b>first</b>" Łovelace, <eve@example.org>; %0d%0aBcc: eve@example.org =?'
    concert = box.on_sale(box.organiser(), title="Bcc: eve@example.org, <script>alert(1)</script> =?")
    buyer = box.register(name)
    booking = buyer.book(concert["id"]).json()

    [mail] = poll(lambda: mails_with(box, f"<{booking['id']}.confirmation@"), seconds=20, every=0.1)
    assert booking["reference"] in mail["Subject"]
    assert mail["X-RcptTo"] == buyer.user["email"]
    assert [address.addr_spec for address in mail["To"].addresses] == [buyer.user["email"]]
    assert mail["Bcc"] is None and mail["Cc"] is None and len(mail.get_all("Subject")) == 1
    html = mail.get_body(("html",)).get_content()
    assert "<script>" not in html and "<b>first" not in html
