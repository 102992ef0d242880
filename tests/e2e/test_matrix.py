"""
Who may do what: every route of the OpenAPI document as everybody there is, and every RPC with another identity.

A route that is not in the lists below is taken for one that needs a token, and of which each sees their own only.
"""

import inspect
import uuid
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import httpx
import pytest

from gateway.errors import CONTRACT_ERRORS
from gateway.rpc import RpcClient
from tests.e2e.api_client import PASSWORD, Box, Person, concert_body, problem

Operation = tuple[str, str]

#: The routes for everybody; another one that asks for no token must be entered here.
PUBLIC = {
    ("POST", "/v1/auth/register"), ("POST", "/v1/auth/login"), ("POST", "/v1/auth/password-reset"),
    ("POST", "/v1/auth/password-reset/confirm"), ("POST", "/v1/auth/verify-email"),
    ("GET", "/v1/concerts"), ("GET", "/v1/concerts/{concert_id}"), ("GET", "/v1/concerts/{concert_id}/availability"),
    ("GET", "/v1/concerts/{concert_id}/seats"), ("GET", "/v1/ticket-keys"),
    ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/openapi.json"), ("GET", "/docs"),
    ("GET", "/docs/{file}"), ("GET", "/errors"), ("GET", "/metrics"),
}  # fmt: skip
#: The routes for a role; all others with a token are for whoever is signed in.
ROLES = {
    **dict.fromkeys(
        (
            ("GET", "/v1/audit-log"), ("POST", "/v1/users/find"), ("PUT", "/v1/users/{user_id}/roles"),
            ("DELETE", "/v1/users/{user_id}"),
        ),
        "admin",
    ),
    **dict.fromkeys(
        (
            ("POST", "/v1/concerts"), ("PATCH", "/v1/concerts/{concert_id}"), ("DELETE", "/v1/concerts/{concert_id}"),
            ("POST", "/v1/concerts/{concert_id}/publish"), ("POST", "/v1/concerts/{concert_id}/cancel"),
            ("GET", "/v1/concerts/mine"), ("GET", "/v1/concerts/{concert_id}/changes"),
            ("GET", "/v1/concerts/{concert_id}/rollouts"), ("GET", "/v1/concerts/{concert_id}/bookings"),
            ("GET", "/v1/concerts/{concert_id}/bookings.csv"), ("GET", "/v1/concerts/{concert_id}/sales"),
        ),
        "organiser",
    ),
}  # fmt: skip
#: Whose it is that a path names; of a concert only where its organiser is asked for.
OWNERS = {"booking_id": "owner", "hold_id": "owner", "session_id": "owner", "concert_id": "organiser"}
#: Who else may see something of the owner's, and where.
MAY_SEE = {
    ("organiser", "/v1/concerts/{concert_id}/bookings"), ("organiser", "/v1/concerts/{concert_id}/bookings.csv"),
    ("admin", "/v1/users/{user_id}/roles"), ("admin", "/v1/audit-log"),
}  # fmt: skip
EVERYBODY = ("anonymous", "owner", "other", "organiser", "other organiser", "admin")
BODIES: dict[Operation, Any] = {("PATCH", "/v1/concerts/{concert_id}"): {"title": "Another title"}}


class World:
    """One of everybody, and something of the owner's and of the organiser's."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.canary = uuid.uuid4().hex
        self.people: dict[str, Person] = {
            "owner": box.register(f"Owner {self.canary}", f"{self.canary}@example.org"),
            "other": box.register(),
            "organiser": box.organiser(),
            "other organiser": box.organiser(),
            "admin": box.admin(),
        }
        self.concert = box.on_sale(self.people["organiser"], max_tickets_per_user=100)["id"]
        self.booking = self.book()

    def double(self, who: str) -> Person:
        """Somebody with the same roles, whose sessions may end."""
        person, path = self.box.register(), "/v1/users/{}/roles"
        roles = {"roles": self.people[who].user["roles"]}
        self.box.http.put(path.format(person.id), json=roles, headers=self.people["admin"].authorization)
        return self.box.login(person.user["email"])

    def book(self) -> str:
        return str(self.people["owner"].book(self.concert).json()["id"])

    def hold(self) -> str:
        body = {"concert_id": self.concert, "items": [{"ticket_type": "standing", "quantity": 1}]}
        return str(self.people["owner"].post("/v1/holds", body).json()["id"])

    def draft(self) -> str:
        return str(self.box.concert(self.people["organiser"])["id"])

    def session(self) -> str:
        owner = self.box.login(self.people["owner"].user["email"])
        shown = owner.get("/v1/me/sessions").json()["items"]
        return next(str(item["id"]) for item in shown if item["current"])

    def user(self) -> str:
        return self.box.register(f"Owner {self.canary}", f"{uuid.uuid4().hex}@example.org").id

    def name(self, parameter: str, operation: Operation) -> str:
        """What *parameter* names: new, where the operation takes it away."""
        method, path = operation
        reads = method == "GET"
        draft = path.endswith("/publish") or method in ("DELETE", "PATCH")
        makers: dict[str, Callable[[], str]] = {
            "booking_id": lambda: self.booking if reads else self.book(),
            "hold_id": self.hold,
            "session_id": self.session,
            "user_id": self.user,
            "file": lambda: "docs.css",
            "concert_id": lambda: self.draft() if draft or path.endswith("/cancel") else self.concert,
        }
        return makers[parameter]()


@pytest.fixture(scope="module")
def world(box: Box) -> World:
    return World(box)


def operations(box: Box) -> dict[Operation, dict[str, Any]]:
    """All that the document knows."""
    return {
        (method.upper(), path): operation
        for path, item in box.promises.document["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict) and "responses" in operation
    }


def parameters(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def expected(operation: Operation, described: dict[str, Any], who: str, roles: list[str]) -> str:
    """`in`, or the code that *who* is refused with."""
    schemes = [next(iter(scheme), None) for scheme in described["security"]]
    if not schemes or None in schemes:
        return "in"
    if who == "anonymous" or schemes == ["refresh_token"]:  # they all come with an access token
        return "not_authenticated"
    wanted = described.get("x-roles", [])
    if wanted and not set(wanted) & set(roles):
        return "forbidden"
    owners = {OWNERS[name] for name in parameters(operation[1]) if name in OWNERS}
    return "in" if owners <= {who} else "not_found"


def outcome(answer: httpx.Response) -> str:
    """`in`, also for who is then told that a field is wrong, or the code of a refusal of the person."""
    assert answer.status_code < 500, answer.text
    if answer.status_code in (401, 403, 404):
        code = problem(answer)[1]
        return "in" if code == "bad_credentials" else code
    return "in"


def ask(box: Box, operation: Operation, described: dict[str, Any], path: str, person: Person | None) -> httpx.Response:
    body = {"json": BODIES.get(operation, {})} if "requestBody" in described else {}
    headers = {"Idempotency-Key": uuid.uuid4().hex, **(person.authorization if person else {})}
    return box.http.request(operation[0], path, headers=headers, **body)


def test_document_says_of_each_route_for_whom_it_is(box: Box) -> None:
    declared = operations(box)
    without_token = {
        op for op, described in declared.items() if not described["security"] or {} in described["security"]
    }
    assert without_token <= PUBLIC, "is it meant for everybody? Then enter it here"
    assert {op: described["x-roles"][0] for op, described in declared.items() if "x-roles" in described} == {
        op: role for op, role in ROLES.items() if op in declared
    }


def test_everybody_is_let_in_where_the_document_says_so_and_nowhere_else(box: Box, world: World) -> None:
    wrong, leaks, lines = [], [], []
    for operation, described in operations(box).items():
        method, path = operation
        row = []
        # The one whom it belongs to comes last: it may be gone then.
        for who in sorted(EVERYBODY, key=lambda who: who in OWNERS.values()):
            ends_session = path in ("/v1/auth/logout", "/v1/me/sessions", "/v1/me") and method in ("POST", "DELETE")
            names = {name: world.name(name, operation) for name in parameters(path)}
            person = None if who == "anonymous" else world.double(who) if ends_session else world.people[who]
            answer = ask(box, operation, described, path.format(**names), person)
            roles = person.user["roles"] if person else []
            told, wanted = outcome(answer), expected(operation, described, who, roles)
            row.append(f"{who}: {told}")
            if told != wanted:
                wrong.append(f"{method} {path} as {who}: {told}, not {wanted} ({answer.status_code})")
            if who != "owner" and (who, path) not in MAY_SEE and world.canary in answer.text:
                leaks.append(f"{method} {path} as {who}")
        lines.append(f"{method:6} {path:45} {'  '.join(row)}")
    print("\n".join(lines))
    print(f"{len(lines)} routes x {len(EVERYBODY)}: {len(wrong)} wrong, {len(leaks)} leaks")
    assert not wrong and not leaks


def test_bad_token_is_refused_before_the_body_is_read(box: Box) -> None:
    bad = {"Authorization": "Bearer a.b.c", "Content-Type": "application/json"}
    for (method, path), described in operations(box).items():
        if described["security"] and {} not in described["security"]:
            names = dict.fromkeys(parameters(path), "x")
            answer = box.http.request(method, path.format(**names), headers=bad, content=b"{nope")
            assert problem(answer) == (401, "not_authenticated"), f"{method} {path}"


# By RPC, as somebody who has got past the gateway.

PROTOCOLS = {"auth_svc": "AuthService", "booking_svc": "BookingService", "concert_svc": "ConcertService",
             "mailer_svc": "MailerService"}  # fmt: skip
IDENTITIES = ("user_id", "organiser_id", "viewer_id")
#: What else a method wants to know.
MORE = {
    "origin": {"address": "192.0.2.1", "device": "test"}, "limit": 10, "cursor": None, "idempotency_key": "a-key",
    "changes": {"title": "Another title"}, "name": "x", "roles": ["admin"],
    "actor_id": "somebody",
}  # fmt: skip


class Method(NamedTuple):
    service: str
    name: str
    identity: str
    thing: str


def methods() -> list[Method]:
    """Every RPC of every contract that is about somebody's thing."""
    found = []
    for service, protocol in PROTOCOLS.items():
        for name, member in vars(getattr(import_module(f"{service}.contract"), protocol)).items():
            asked = inspect.signature(member).parameters if inspect.isfunction(member) else {}
            for identity in IDENTITIES:
                for thing in OWNERS:
                    if identity in asked and thing in asked and not name.startswith(("hold_tickets", "book_tickets")):
                        found.append(Method(service, name, identity, thing))
    return found


@pytest.fixture(scope="module")
def rpc(box: Box) -> Iterator[RpcClient]:
    client = RpcClient(box.stack.amqp_uri, CONTRACT_ERRORS)
    yield client
    client.close()


@pytest.mark.parametrize("method", methods(), ids=lambda m: f"{m.service}.{m.name}")
def test_rpc_with_another_identity_finds_nothing(world: World, rpc: RpcClient, method: Method) -> None:
    path = "/publish" if method.thing == "concert_id" else ""
    contract = import_module(f"{method.service}.contract")
    asked = inspect.signature(getattr(getattr(contract, PROTOCOLS[method.service]), method.name)).parameters
    more = {name: MORE[name] for name in asked if name not in ("self", method.identity, method.thing)}
    thing = world.name(method.thing, ("POST", path))
    for who in ("other", "other organiser", "admin"):
        arguments = {**more, method.identity: world.people[who].id, method.thing: thing}
        with pytest.raises(Exception, match=r".") as refused:
            rpc.call(method.service, method.name, arguments, {})
        assert refused.type.__name__.endswith("NotFound"), f"{refused.value!r} as {who}"


def test_there_are_rpcs_to_try() -> None:
    assert len(methods()) >= 12


# What cannot be set by whoever asks.

PRIVILEGED: dict[str, Any] = {
    "id": "mine", "_id": "mine", "user_id": "somebody", "organiser_id": "somebody", "roles": ["admin"],
    "role": "admin", "is_admin": True, "password_hash": "x", "email_verified": True, "credentials_version": 99,
    "status": "confirmed", "price": {"amount": 0, "currency": "EUR"}, "total": {"amount": 0, "currency": "EUR"},
    "sold": 0, "sales_close_at": "2099-01-01T00:00:00Z", "created_at": "2000-01-01T00:00:00Z", "outbox": [],
    "claims": [], "confirmed_at": "2000-01-01T00:00:00Z", "$set": {"roles": ["admin"]}, "__class__": "x",
    "organiser_id.$ne": "x",
}  # fmt: skip


def good_bodies(world: World) -> dict[Operation, Any]:
    """A body for each route that takes one, with which it would do something."""
    items = [{"ticket_type": "standing", "quantity": 1}]
    return {
        ("POST", "/v1/auth/register"): {
            "email": "eve@example.org",
            "password": PASSWORD,
            "name": "Eve",
        },
        ("POST", "/v1/auth/login"): {"email": world.people["other"].user["email"], "password": PASSWORD},
        ("POST", "/v1/auth/password-reset"): {"email": "nobody@example.org"},
        ("POST", "/v1/auth/password-reset/confirm"): {"token": "x", "new_password": PASSWORD},
        ("POST", "/v1/auth/verify-email"): {"token": "x"},
        ("PATCH", "/v1/me"): {"name": "Eve"},
        ("PUT", "/v1/me/password"): {"current_password": "wrong", "new_password": PASSWORD},
        ("POST", "/v1/users/find"): {"email": world.people["other"].user["email"]},
        ("PUT", "/v1/users/{user_id}/roles"): {"roles": ["customer"]},
        ("POST", "/v1/concerts"): concert_body(),
        ("PATCH", "/v1/concerts/{concert_id}"): {"title": "Another title"},
        ("POST", "/v1/holds"): {"concert_id": world.concert, "items": items},
        ("POST", "/v1/bookings"): {"concert_id": world.concert, "items": items},
    }


def who_may(described: dict[str, Any]) -> str:
    return {"organiser": "organiser", "admin": "admin"}.get(*described.get("x-roles", ["other"]), "other")  # type: ignore[call-overload]


def test_no_privileged_field_is_taken_from_any_body(box: Box, world: World) -> None:
    tried = 0
    for operation, described in operations(box).items():
        if "requestBody" not in described:
            continue
        method, path = operation
        good = good_bodies(world).get(operation, {})
        names = {name: world.name(name, operation) for name in parameters(path)}
        person = world.people[who_may(described)]
        for field, value in PRIVILEGED.items():
            if field in good:
                continue
            headers = {"Idempotency-Key": uuid.uuid4().hex, **person.authorization}
            answer = box.http.request(method, path.format(**names), json={**good, field: value}, headers=headers)
            assert problem(answer) == (422, "invalid"), f"{method} {path} with {field}: {answer.text}"
            assert field.split(".")[0] in str(answer.json()["errors"]), f"{method} {path} with {field}: {answer.text}"
            tried += 1
    assert tried >= 15 * 12
    assert world.people["other"].get("/v1/me").json()["roles"] == ["customer"]
