"""A user who asks for what their role does not allow is refused, and written into the audit log."""

import logging

from flask import Flask, Response, g, request

from gateway.errors import Forbidden, refuse
from gateway.origin import origin
from gateway.services import services
from gateway.sessions import identity
from rabbitmq.errors import Unavailable

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Answer Forbidden; whether it could be written down or not."""
    app.register_error_handler(Forbidden, _deny)


def _deny(error: Exception) -> Response:
    what = f"{request.method} {request.url_rule}"  # the rule, since a path could say anything
    try:
        services().auth.record_denial(user_id=identity().user_id, what=what, origin=origin())
    except Unavailable:
        log.warning("%s was denied to %s (request %s)", what, identity().user_id, g.request_id)
    return refuse(error)
