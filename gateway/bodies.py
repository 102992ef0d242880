"""How large and how deep a body may be, looked at before anything else is done with it."""

from typing import Any

from flask import abort, request

from gateway.config import LARGEST_BODY

#: Lists and objects within each other. The deepest body that means something has six.
DEEPEST = 32
WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")


def check_length() -> None:
    """A body says beforehand how long it is; 411 and 413 otherwise."""
    if request.method not in WITH_BODY:
        return
    if request.content_length is None and "Transfer-Encoding" in request.headers:
        abort(411)
    if (request.content_length or 0) > LARGEST_BODY:
        abort(413)


def check_depth(value: Any) -> None:
    """What Python could still read may be too deep for what comes after it; 400 then."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    abort(400)
