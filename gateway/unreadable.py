"""Requests that the HTTP server itself refuses never reach Flask. They are answered in the same form."""

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from gateway.catalogue import type_of

#: What the server says by its status; all else that it cannot read is malformed.
CODES = {408: "request_timeout", 414: "uri_too_long", 431: "headers_too_large", 500: "internal"}
MEANINGS = {
    "malformed_request": "This is not HTTP as we understand it.",
    "request_timeout": "The request did not come to its end in time.",
    "uri_too_long": "The address is too long.",
    "headers_too_large": "The headers are too large, or too many.",
}


def write_problem(socket: Any, status: int, reason: str, message: str) -> None:
    """What gunicorn calls to refuse; *message* is for the log, which has it already."""
    code = CODES.get(status, "malformed_request")
    status = status if code != "malformed_request" else 400
    socket.sendall(problem(status, code, MEANINGS.get(code, reason)))


def problem(
    status: int,
    code: str,
    detail: str,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    lasts: bool = False,
) -> bytes:
    """The whole answer to a request that is refused; *lasts* says whether the connection is good for another one."""
    request_id = request_id or uuid.uuid4().hex
    body = json.dumps(
        {
            "type": type_of(code),
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": request_id,
        }
    ).encode()
    head = {
        "Connection": "keep-alive" if lasts else "close",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Request-ID": request_id,
        **(headers or {}),
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
