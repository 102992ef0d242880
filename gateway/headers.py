"""The headers of every request and answer: its id, what browsers must not do, and which origins they may serve."""

import re
import uuid
from http import HTTPStatus

from flask import Flask, Response, g, request
from flask_cors import CORS

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}\Z")

#: What scripts of an allowed origin may send, and read of an answer.
SENT = ["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Request-ID"]
READ = ["ETag", "Idempotency-Replayed", "Location", "Retry-After", "X-Request-ID"]

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}


def register(app: Flask) -> None:
    """Name every request, and set these headers on every answer. Only CORS_ORIGINS may call from another site."""
    app.before_request(_take_request_id)
    app.after_request(_add)
    if origins := app.config["CORS_ORIGINS"]:
        CORS(
            app,
            resources={r"/v1/.*": {}},
            origins=origins,
            allow_headers=SENT,
            expose_headers=READ,
            max_age=600,
            send_wildcard=False,
        )


def for_site(origin: str | None, allowed: list[str]) -> dict[str, str]:
    """With these a script of *origin* may read an answer that was made without Flask, if it is *allowed* to."""
    if origin not in allowed:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": str(origin),
        "Access-Control-Expose-Headers": ", ".join(READ),
        "Vary": "Origin",
    }


def _take_request_id() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if REQUEST_ID.match(given) else uuid.uuid4().hex


def _add(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "")
    given = {name.lower() for name, _ in response.headers}
    response.headers.extend([header for header in SECURITY.items() if header[0].lower() not in given])
    if response.status_code == HTTPStatus.NO_CONTENT:
        response.set_data(b"")  # for flask-smorest a view's None is JSON's null
        del response.headers["Content-Length"]
    if response.status_code in (HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT) and not response.get_data():
        response.headers.pop("Content-Type", None)  # there is nothing that it could be the form of
    if request.is_secure:  # as a trusted proxy says; over plain HTTP browsers ignore it
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
