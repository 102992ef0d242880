"""Puts the gateway together: the only wiring there is."""

from typing import Any

from flask import Flask
from flask_jwt_extended import JWTManager

from gateway import bodies, config, errors, headers, negotiation, openapi, services, sessions
from gateway.routes import auth, bookings, catalogue, concerts, docs, health, holds, me, users
from gateway.rpc import RpcClient
from gateway.seat_maps import SeatMaps
from rabbitmq.names import outlet


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
    for module in (auth, me, users, concerts, holds, bookings, health, docs, catalogue):
        api.register_blueprint(module.blueprint)
    app.extensions["openapi"] = openapi.complete(app, api)

    headers.register(app)
    app.before_request(bodies.check_length)
    negotiation.register(app)
    return app
