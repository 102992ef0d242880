"""
The OpenAPI document, complete: flask-smorest tells of routes and schemas, this adds all that follows from them.

Which refusals a route has is read where it is promised: in the contracts, under `Raises:` of the methods that
the route calls. A route adds what it refuses by itself with `@blueprint.refuses(...)`.
"""

import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, get_type_hints

from flask import Flask
from werkzeug.routing import Rule

from gateway import errors
from gateway.catalogue import CODES, type_of
from gateway.config import OPERATIONS
from gateway.examples import ID, complete_examples
from gateway.services import Services

Document = dict[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM = "application/problem+json"

#: Of routes with a JSON body, of those with any arguments, and of every answer that has a body.
BODY_CODES = ("malformed_json", "length_required", "content_too_large", "unsupported_media_type")
TOKEN_CODES = ("not_authenticated", "token_expired", "session_ended")

HEADERS: dict[str, Document] = {
    "X-Request-ID": {
        "description": "The request's name in our logs: yours, if you sent one, or a new one.",
        "schema": {"type": "string"},
        "example": "9f86d081884c4d63a1b2c3d4e5f60718",
    },
    "ETag": {
        "description": "Names this state of the answer; send it as If-None-Match to ask for another one only.",
        "schema": {"type": "string"},
        "example": 'W/"5f3c8e1b"',
    },
    "Location": {
        "description": "Where it can be read from now on.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": f"/v1/bookings/{ID}",
    },
    "Idempotency-Replayed": {
        "description": "This is the answer to an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "Seconds after which the request is worth repeating.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 1,
    },
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": {"type": "string"}, "example": "Bearer"},
    "Allow": {"description": "The methods that the address knows.", "schema": {"type": "string"}},
}
PARAMETERS: dict[str, Document] = {
    "X-Request-ID": {
        "in": "header",
        "name": "X-Request-ID",
        "required": False,
        "description": (
            "A name for this request, of 1 to 64 letters, digits, `.`, `_` and `-`: it comes back and stands in our "
            "logs. Without one, or with another, we make one up."
        ),
        "schema": {"type": "string", "examples": ["checkout-4711"]},
    },
    "If-None-Match": {
        "in": "header",
        "name": "If-None-Match",
        "required": False,
        "description": "The ETag of an earlier answer: 304 without a body when nothing has changed.",
        "schema": {"type": "string"},
    },
}
ITEMS = [{"ticket_type": "$response.body#/ticket_types/0/code", "quantity": 1}]
#: Where an answer leads: the name under which other addresses know its `id`, and bodies that can be made of it.
LINKS: dict[str, tuple[str, dict[str, Document]]] = {
    "create_concert": ("concert_id", {}),
    "publish_concert": (
        "concert_id",
        {name: {"concert_id": "$response.body#/id", "items": ITEMS} for name in ("hold_tickets", "book_tickets")},
    ),
    "hold_tickets": ("hold_id", {"book_tickets": {"hold_id": "$response.body#/id"}}),
    "book_tickets": ("booking_id", {}),
    "register": ("user_id", {}),
    "find_user": ("user_id", {}),
}
PROBLEM_SCHEMA: Document = {
    "type": "object",
    "description": "Why a request was not carried out (RFC 9457). Decide by `code`; the texts may change.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The page that explains the code."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What is the case."},
        "code": {"type": "string", "enum": sorted(CODES)},
        "request_id": {"type": "string", "description": "The request's name in our logs."},
        "errors": {
            "type": "object",
            "description": 'What is wrong, by field. Lists are by index: `{"items": {"0": {"quantity": [...]}}}`.',
            "additionalProperties": True,
        },
        "next": {
            "type": "array",
            "description": "What you can do next.",
            "items": {
                "type": "object",
                "required": ["do"],
                "properties": {
                    "do": {"type": "string"},
                    "method": {"type": "string", "enum": ["GET", "POST"]},
                    "href": {"type": "string", "format": "uri-reference"},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}


def complete(app: Flask, api: errors.ProblemApi) -> Document:
    """The document of all routes of *app*, with what is known of each beside its schemas."""
    document: Document = api.spec.to_dict()
    document["servers"] = [{"url": "/", "description": "This one"}]
    components = document["components"]
    components["schemas"] = {
        name: schema for name, schema in components["schemas"].items() if name not in ("Error", "PaginationMetadata")
    }
    components["schemas"]["Problem"] = PROBLEM_SCHEMA
    components["headers"] = dict(HEADERS)
    components["parameters"] = dict(PARAMETERS)
    components["responses"] = {}
    _add_rules_between_fields(components["schemas"], api)
    _translate_patterns(document)
    for item in document["paths"].values():
        for parameter in item.get("parameters", []):
            parameter.setdefault("example", ID)
    for path, method, view in views(app):
        operation = document["paths"].get(path, {}).get(method)
        if operation is not None:
            _complete_operation(path, method, operation, view, components)
    _add_links(document)
    complete_examples(document)
    return document


def views(app: Flask) -> Iterator[tuple[str, str, Any]]:
    """Path, method and view of all that *app* serves; HEAD and OPTIONS go without saying."""
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods or ()):
            if method.lower() in METHODS:
                yield path_of(rule), method.lower(), app.view_functions[rule.endpoint]


def path_of(rule: Rule) -> str:
    """The rule as OpenAPI writes it: `/v1/holds/{hold_id}`."""
    return re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule)


def _complete_operation(path: str, method: str, operation: Document, view: Any, components: Document) -> None:
    operation["operationId"] = view.__name__
    parameters = operation.setdefault("parameters", [])
    if not path.startswith("/docs"):
        parameters.append({"$ref": "#/components/parameters/X-Request-ID"})
    succeeded = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    if method == "get" and path.startswith(("/v1/", "/openapi")) and not getattr(view, "streams", False):
        parameters.append({"$ref": "#/components/parameters/If-None-Match"})
        operation["responses"]["304"] = {
            "description": "Nothing has changed since the ETag in If-None-Match.",
            "headers": {"ETag": {"$ref": "#/components/headers/ETag"}},
        }
        for answer in succeeded:
            answer.setdefault("headers", {})["ETag"] = {"$ref": "#/components/headers/ETag"}
    for status, codes in _codes(path, method, operation, view).items():
        operation["responses"][str(status)] = _refusal(status, sorted(codes), components)
    for answer in operation["responses"].values():
        if "$ref" not in answer:
            answer.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/X-Request-ID"}
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _add_links(document: Document) -> None:
    """From what has just been made to all that can be done with it."""
    operations = {
        operation["operationId"]: (path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }
    for source, (name, made) in LINKS.items():
        _, operation = operations[source]
        where = "$response.body#/user/id" if source == "register" else "$response.body#/id"
        links: dict[str, Document] = {
            target: {"operationId": target, "parameters": {name: where}}
            for target, (path, _) in operations.items()
            if f"{{{name}}}" in path
        }
        links |= {target: {"operationId": target, "requestBody": body} for target, body in made.items()}
        answer = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
        answer["links"] = links


def _codes(path: str, method: str, operation: Document, view: Any) -> dict[int, set[str]]:
    """The codes that the operation may be refused with, by status."""
    codes = set(refusals(view))
    security = operation.get("security", [])
    if security:
        codes |= {*TOKEN_CODES, "unavailable"}
    if operation.get("x-roles"):
        codes.add("forbidden")
    if "requestBody" in operation:
        codes |= set(BODY_CODES)
    elif method != "get":
        codes |= {"length_required", "content_too_large"}
    if any("content" in answer for status, answer in operation["responses"].items() if status.startswith("2")):
        codes.add("not_acceptable")
    if not path.startswith(OPERATIONS):
        codes.add("unavailable")  # too many may be waiting already: gateway.worker
    if path.startswith("/v1/"):
        # Also for a parameter, or a body, that the route does not know, however long.
        codes |= {"rate_limited", "invalid", "uri_too_long"}
    by_status: dict[int, set[str]] = defaultdict(set)
    for code in codes:
        by_status[CODES[code].status].add(code)
    return by_status


def refusals(view: Any) -> Iterator[str]:
    """The codes of what *view* says that it refuses, and of what the methods that it calls may raise."""
    raised = set(getattr(view, "refusals", ()))
    called = rpc_methods(view)
    for method in called:
        contract = sys.modules[method.__module__]
        _, _, text = (inspect.getdoc(method) or "").partition("Raises:")
        names = {name.strip() for line in text.splitlines() for name in line.partition(":")[0].split(",")}
        raised |= {getattr(contract, name) for name in names if name}
    yield from (errors.TABLE[error][1] for error in raised)
    if called:
        yield "unavailable"


def rpc_methods(view: Any) -> list[Any]:
    """The methods in the contracts that the code of *view* calls, as in `services().booking.book_hold(...)`."""
    names = inspect.unwrap(view).__code__.co_names
    return [
        getattr(protocol, name)
        for service, protocol in get_type_hints(Services).items()
        if service in names
        for name in names
        if inspect.isfunction(getattr(protocol, name, None))
    ]


def _refusal(status: int, codes: list[str], components: Document) -> Document:
    """A reference to the answer that says one of *codes*; routes that are refused alike share it."""
    name = f"{status}-" + "-".join(codes)
    if name not in components["responses"]:
        headers = ["X-Request-ID"]
        headers += ["Retry-After"] if status in (429, 503) or "request_in_progress" in codes else []
        headers += ["WWW-Authenticate"] if status == HTTPStatus.UNAUTHORIZED else []
        components["responses"][name] = {
            "description": "\n".join(f"- [`{code}`]({type_of(code)}) {CODES[code].cause}" for code in codes),
            "headers": {header: {"$ref": f"#/components/headers/{header}"} for header in headers},
            "content": {
                PROBLEM: {
                    "schema": {
                        "allOf": [
                            {"$ref": "#/components/schemas/Problem"},
                            {"properties": {"status": {"const": status}, "code": {"enum": codes}}},
                        ]
                    },
                    "examples": {code: {"summary": code, "value": errors.example(code)} for code in codes},
                }
            },
        }
    return {"$ref": f"#/components/responses/{name}"}


def _add_rules_between_fields(schemas: Document, api: errors.ProblemApi) -> None:
    """What a schema says of its fields together, in its attribute `openapi`."""
    for (schema, *_), name in api.ma_plugin.converter.refs.items():
        if name not in schemas:
            continue
        schemas[name].update(getattr(schema, "openapi", {}))
        if schema.__doc__ and schema.__module__.startswith("gateway."):
            schemas[name].setdefault("description", inspect.cleandoc(schema.__doc__))


def _translate_patterns(part: Any) -> None:
    r"""
    Patterns as JavaScript has them: `\Z` is `$`, and half a character, which JSON can write, is in no text of theirs.
    """
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            part["pattern"] = part["pattern"].replace(r"\Z", "$").replace(r"\ud800-\udfff", "")
            if part["pattern"] == "^[^]*$":
                del part["pattern"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            _translate_patterns(inner)
