"""What a request says that its route does not heed: refused, so that a typing mistake is no silent one."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from flask import Flask, Response, current_app, request

from gateway.bodies import WITH_BODY
from gateway.errors import HTTP_MEANINGS, problem

UNKNOWN = ["Unknown field."]


class Heeded(NamedTuple):
    """What a route takes: parameters of the query by these names, and whether there may be a body."""

    parameters: frozenset[str]
    body: bool


def register(app: Flask) -> None:
    """Refuse parameters that a route of the API does not know, and bodies where there are none. See its document."""
    app.extensions["heeded"] = {
        operation["operationId"]: Heeded(frozenset(_in_query(operation)), "requestBody" in operation)
        for path, item in app.extensions["openapi"]["paths"].items()
        for operation in item.values()
        if path.startswith("/v1/") and isinstance(operation, dict)
    }
    app.before_request(_check)


def _in_query(operation: dict[str, Any]) -> Iterable[str]:
    return (parameter["name"] for parameter in operation["parameters"] if parameter.get("in") == "query")


def _check() -> Response | None:
    heeded = current_app.extensions["heeded"].get((request.endpoint or "").rpartition(".")[2])
    if heeded is None or request.method == "OPTIONS":
        return None
    surplus = [name for name in request.args if name not in heeded.parameters]
    if not heeded.body and request.method in WITH_BODY:
        surplus += _fields(request.get_data())
    if not surplus:
        return None
    return problem(422, "invalid", HTTP_MEANINGS[422], dict.fromkeys(map(_writable, surplus), UNKNOWN))


def _fields(body: bytes) -> list[str]:
    """The names in *body*; `body`, if it is not empty and no JSON object."""
    if not body.strip():
        return []
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ["body"]
    return list(value) if isinstance(value, dict) else ["body"]


def _writable(name: str) -> str:
    """JSON can write half a character, UTF-8 cannot."""
    return name.encode(errors="replace").decode()
