"""The form of an answer: what Accept allows, nothing at all when it is known already, and compressed if it is long."""

import gzip
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, abort, current_app, request

#: Bytes. Below it the headers weigh more than what is saved.
WORTH_COMPRESSING = 1024
COMPRESSIBLE = ("application/json", "application/problem+json", "text/html", "text/calendar", "text/csv", "text/plain")


def register(app: Flask) -> None:
    """
    Refuse what has no form that the client accepts, before it is carried out; tag and compress answers.

    The forms of each route are those of the OpenAPI document.
    """
    forms = {
        operation["operationId"]: kinds
        for item in app.extensions["openapi"]["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and (kinds := _kinds(operation))
    }
    app.extensions["forms"] = forms
    app.before_request(_check_accept)
    app.after_request(_compress)
    app.after_request(_tag)  # runs first: Flask goes through them from the last to the first


def _kinds(operation: dict[str, Any]) -> list[str]:
    answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    return [kind.partition(";")[0] for answer in answers for kind in answer.get("content", {})]


def _check_accept() -> None:
    forms = current_app.extensions["forms"].get((request.endpoint or "").rpartition(".")[2])
    accepted = request.accept_mimetypes
    if forms and accepted and request.method != "OPTIONS" and not any(accepted[form] for form in forms):
        abort(406)


def _tag(response: Response) -> Response:
    """Answers to reads have an ETag; who has that answer already gets 304 and no body."""
    if not request.path.startswith("/v1/") and request.endpoint != "docs.get_document":
        return response
    if request.method not in ("GET", "HEAD") or response.status_code != HTTPStatus.OK or response.is_streamed:
        response.headers.setdefault("Cache-Control", "no-store")
        return response
    # A client may keep it, and asks each time whether it is still good. What a token opened is kept for nobody else.
    private = "Authorization" in request.headers
    response.headers.setdefault("Cache-Control", "private, no-cache" if private else "no-cache")
    response.vary.add("Authorization")
    if "ETag" not in response.headers:
        response.add_etag(weak=True)
    response.make_conditional(request.environ)
    return response


def _compress(response: Response) -> Response:
    if response.mimetype not in COMPRESSIBLE or response.is_streamed or response.status_code == HTTPStatus.NOT_MODIFIED:
        return response
    response.vary.add("Accept-Encoding")
    data = response.get_data()
    if request.accept_encodings["gzip"] and len(data) >= WORTH_COMPRESSING and not response.content_encoding:
        response.set_data(gzip.compress(data, compresslevel=5, mtime=0))
        response.content_encoding = "gzip"
    return response
