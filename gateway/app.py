"""Puts the gateway together: the only wiring there is."""

import re
import uuid
from typing import Any

from flask import Flask, Response, g, request
from flask_jwt_extended import JWTManager
from flask_swagger_ui import get_swaggerui_blueprint

from gateway import config, errors, services, sessions
from gateway.routes import auth, bookings, catalogue, concerts, health, holds, me, users
from gateway.rpc import RpcClient
from gateway.seat_maps import SeatMaps
from rabbitmq.names import outlet

REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}\Z")


def create_app(settings: dict[str, Any] | None = None) -> Flask:
    """
    The WSGI application.

    Raises:
        MissingSetting: a setting it cannot do without is missing; it says which.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(settings or config.from_environment())
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the id comes first, as in the schemas

    client = RpcClient(app.config["AMQP_URI"], errors.CONTRACT_ERRORS, outlet("gateway"))
    app.extensions["rpc"] = client
    app.extensions["services"] = services.connect(client)
    app.extensions["seat_maps"] = SeatMaps()
    app.extensions["sessions"] = sessions.connect(app.config["SESSION_REDIS_URL"])

    JWTManager(app)
    errors.register(app)
    api = errors.ProblemApi(app)
    for module in (auth, me, users, concerts, holds, bookings, health):
        api.register_blueprint(module.blueprint)
    app.register_blueprint(catalogue.blueprint)
    app.register_blueprint(
        get_swaggerui_blueprint("/docs", "/openapi.json", config={"app_name": "Concert tickets: the API"})
    )

    app.before_request(_take_request_id)
    app.after_request(_add_headers)
    return app


def _take_request_id() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if REQUEST_ID.match(given) else uuid.uuid4().hex


def _add_headers(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path.startswith("/v1/"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response
