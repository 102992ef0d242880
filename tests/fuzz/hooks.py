"""Who Schemathesis is: somebody with every role, made anew whenever their session has ended."""

import functools
import os
import threading
import uuid
from typing import Any

import httpx
import schemathesis

from tests.e2e.api_client import concert_body

ROLES = ["customer", "organiser", "admin"]
PASSWORD = "correct horse battery staple"

api = httpx.Client(base_url=os.environ["API_URL"], timeout=20)
lock = threading.Lock()
known: dict[str, str] = {}


def new_person() -> dict[str, Any]:
    """The answer to a login with every role."""
    admin = _must(api.post("/v1/auth/login", json=_admin()))["access_token"]
    email = f"{uuid.uuid4().hex}@example.org"
    user = _must(api.post("/v1/auth/register", json={"email": email, "password": PASSWORD, "name": "Fuzz"}))["user"]
    bearer = {"Authorization": f"Bearer {admin}"}
    _must(api.put(f"/v1/users/{user['id']}/roles", json={"roles": ROLES}, headers=bearer))
    return _must(api.post("/v1/auth/login", json={"email": email, "password": PASSWORD}))


@functools.cache
def concert_on_sale() -> str:
    """The id of a concert with places for all."""
    bearer = {"Authorization": f"Bearer {new_person()['access_token']}"}
    body = concert_body(1_000_000, max_tickets_per_user=100)
    draft = _must(api.post("/v1/concerts", json=body, headers=bearer))
    return str(_must(api.post(f"/v1/concerts/{draft['id']}/publish", headers=bearer))["id"])


def _admin() -> dict[str, str]:
    return {"email": os.environ["ADMIN_EMAIL"], "password": os.environ["ADMIN_PASSWORD"]}


def _must(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    return dict(answer.json())


@schemathesis.auth(refresh_interval=None)
class Token:
    """An access token; a refresh token where the operation asks for one."""

    def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
        security = context.operation.definition.raw.get("security") or [{}]
        with lock:
            if "refresh_token" in security[0]:
                return str(new_person()["refresh_token"])  # it is good once
            if "access_token" not in known:
                known.update(new_person())
            return known["access_token"]

    def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    """What a test has ended is not asked again."""
    if response.status_code == 401 and known.get("access_token", "-") in str(case.headers or {}):
        known.clear()


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """
    Where a good request is meant, what no schema can say: a concert that could be on sale, tickets of one that is.

    Else nearly all would be refused, and nothing that comes after would ever be reached.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive or not isinstance(case.body, dict | list):
        return
    case.body = body = _whole_numbers(case.body)
    operation = case.operation.definition.raw["operationId"]
    if operation in ("hold_tickets", "book_tickets") and "items" in body and "type-" not in str(body["items"]):
        case.body = {"concert_id": concert_on_sale(), "items": [{"ticket_type": "standing", "quantity": 1}]}
    if operation == "create_concert" and body.get("ticket_types"):
        case.body = {
            **body,
            "venue": {**body["venue"], "timezone": "Europe/Berlin"},
            "starts_at": "2099-01-20T19:00:00Z",
            "doors_at": None,
            "sales_open_at": None,
            "ticket_types": [_ticket_type(number, given) for number, given in enumerate(body["ticket_types"])],
        }


def _whole_numbers(value: Any) -> Any:
    """JSON Schema takes 2.0 for an integer. We do not: nobody means it."""
    if isinstance(value, dict):
        return {name: _whole_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ticket_type(number: int, given: dict[str, Any]) -> dict[str, Any]:
    price = {**given["price"], "currency": "EUR"}
    return {"code": f"type-{number}", "name": given["name"], "price": price, "capacity": given.get("capacity", 50)}
