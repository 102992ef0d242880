"""Puts the gateway together: the only wiring there is."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from gateway import (
    bodies,
    config,
    denials,
    errors,
    headers,
    inventory,
    limits,
    metrics,
    negotiation,
    openapi,
    request_log,
    services,
    sessions,
    surplus,
    tokens,
)
from gateway.access import declared
from gateway.routes import (
    audit_log,
    auth,
    bookings,
    catalogue,
    concerts,
    docs,
    health,
    holds,
    me,
    organisers,
    ticket_keys,
    users,
)
from gateway.routes import metrics as metrics_route
from gateway.rpc import RpcClient
from gateway.seat_maps import SeatMaps
from rabbitmq import redis_server
from rabbitmq.names import outlet
from rabbitmq.redis_trips import RedisTrips

#: In the order in which the documentation shows them.
ROUTES = (auth, me, users, concerts, organisers, holds, bookings, audit_log, health, metrics_route, docs, catalogue)


class Gateway(Flask):
    """No view of ours is asynchronous; Flask and its extensions look for that twenty times a request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


def create_app(settings: dict[str, Any] | None = None) -> Flask:
    """
    The WSGI application.

    Raises:
        MissingSetting: a setting it cannot do without is missing; it says which.
        UndeclaredRoute: a route does not say who may call it.
    """
    app = Gateway(__name__, static_folder=None)
    app.config.update(settings or config.from_environment())
    app.url_map.strict_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the id comes first, as in the schemas

    client = RpcClient(
        app.config["AMQP_URI"], errors.CONTRACT_ERRORS, outlet("gateway"), app.config["UNANSWERED_AT_ONCE"]
    )
    app.extensions["rpc"] = client
    app.extensions["services"] = services.connect(client)
    app.extensions["seat_maps"] = SeatMaps()
    app.extensions["inventory"] = inventory.Inventory(app.config["GATEWAY_REDIS_URL"])
    app.extensions["sessions"] = redis_server.connect(app.config["SESSION_REDIS_URL"], decode_responses=True)
    app.extensions["session_trips"] = RedisTrips(app.extensions["sessions"])

    tokens.register(app)
    errors.register(app)
    denials.register(app)
    api = errors.ProblemApi(app)
    for module in (
        auth,
        me,
        users,
        concerts,
        organisers,
        holds,
        bookings,
        ticket_keys,
        audit_log,
        health,
        docs,
        catalogue,
        metrics_route,
    ):
        api.register_blueprint(module.blueprint)
    app.extensions["openapi"] = openapi.complete(app, api)

    for view in app.view_functions.values():
        declared(view)

    metrics.register(app)
    headers.register(app)
    request_log.register(app)
    app.before_request(sessions.recognise)
    limits.register(app)  # between the two: a user is counted as such, and so is whoever is refused
    app.before_request(sessions.admit)
    app.before_request(bodies.check_length)
    negotiation.register(app)
    surplus.register(app)
    if app.config["TRUSTED_PROXIES"]:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=app.config["TRUSTED_PROXIES"], x_proto=app.config["TRUSTED_PROXIES"]
        )
    return app
