"""Requests that the HTTP server itself cannot read never reach Flask. They are refused in the same form."""

import json
import uuid
from http import HTTPStatus
from typing import Any

from gateway.catalogue import type_of

#: What the server says by its status; all else that it cannot read is malformed.
CODES = {414: "uri_too_long", 431: "headers_too_large", 500: "internal"}
MEANINGS = {
    "malformed_request": "This is not HTTP as we understand it.",
    "uri_too_long": "The address is too long.",
    "headers_too_large": "The headers are too large, or too many.",
}


def write_problem(socket: Any, status: int, reason: str, message: str) -> None:
    """What gunicorn calls to refuse; *message* is for the log, which has it already."""
    code = CODES.get(status, "malformed_request")
    status = status if code != "malformed_request" else 400
    request_id = uuid.uuid4().hex
    body = json.dumps(
        {
            "type": type_of(code),
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": MEANINGS.get(code, reason),
            "code": code,
            "request_id": request_id,
        }
    ).encode()
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"X-Request-ID: {request_id}",
    ]
    socket.sendall("\r\n".join([*head, "", ""]).encode() + body)
