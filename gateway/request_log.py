"""A line in the log for each request, and its id in every line that is written on its behalf."""

import logging
import time

from flask import Flask, Response, g, request

from gateway.config import OPERATIONS
from rabbitmq import logs

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """After `headers`, which name the request."""
    app.before_request(_begin)
    app.after_request(_tell)
    app.teardown_request(_end)


def _begin() -> None:
    g.began = time.monotonic()
    logs.request_id.set(g.request_id)


def _tell(response: Response) -> Response:
    level = logging.DEBUG if request.path.startswith(OPERATIONS) else logging.INFO  # every few seconds
    seconds = time.monotonic() - g.get("began", time.monotonic())
    # Without the query: what people search for is theirs.
    told = logs.fields(method=request.method, path=request.path, status=response.status_code, seconds=f"{seconds:.3f}")
    log.log(level, "answered", extra=told)
    return response


def _end(error: BaseException | None) -> None:
    logs.request_id.set(None)  # this thread serves others, too
