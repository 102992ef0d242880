"""Whether the gateway lives, and whether the platform can serve."""

from typing import Any

from flask import current_app
from redis.exceptions import RedisError

from gateway import schemas
from gateway.access import anyone
from gateway.blueprint import Blueprint
from gateway.rpc import RemoteError, RpcClient
from gateway.services import context
from rabbitmq.errors import Unavailable

blueprint = Blueprint("health", __name__, url_prefix="/health", description=__doc__)

SERVICES = ("auth_svc", "concert_svc", "booking_svc", "mailer_svc")
#: Servers that only services reach, and tell of.
BEHIND = ("mongodb", "inventory")
#: Seconds a service has to answer a ping.
PATIENCE = 1.8
OK, SILENT, UNKNOWN = "ok", "does not answer", "unknown"


@blueprint.get("/live")
@blueprint.response(200, schemas.Health)
@anyone()
def live() -> dict[str, Any]:
    """The process answers."""
    return {"status": "live", "checks": {}}


@blueprint.get("/ready")
@blueprint.response(200, schemas.Health)
@blueprint.alt_response(503, schema=schemas.Health, description="Something needed does not answer")
@anyone()
def ready() -> tuple[dict[str, Any], int]:
    """Every part that a booking needs answers: each service, and each server behind them."""
    client: RpcClient = current_app.extensions["rpc"]
    checks = {"rabbitmq": client.state(), "sessions": _sessions(), **dict.fromkeys(BEHIND, UNKNOWN)}
    # Without the broker each would be waited for in vain, one after the other.
    answers = _ask(client) if checks["rabbitmq"] == OK else dict.fromkeys(SERVICES)
    for servers in answers.values():
        for server, state in (servers or {}).items():
            if checks.get(server, OK) in (OK, UNKNOWN):  # a fault that one has seen is a fault
                checks[server] = state
    checks.update({service: SILENT if servers is None else OK for service, servers in answers.items()})
    checks["rabbitmq"] = client.state()  # that it takes nothing, it says when it is sent something
    good = all(state == OK for state in checks.values())
    return {"status": "ready" if good else "unavailable", "checks": checks}, 200 if good else 503


def _sessions() -> str:
    try:
        current_app.extensions["sessions"].ping()
    except RedisError:
        return SILENT
    return OK


def _ask(client: RpcClient) -> dict[str, dict[str, str] | None]:
    """What each service says of its servers, None where it says nothing; they are asked all at once."""
    asked: dict[str, Any] = {}
    for service in SERVICES:
        try:
            asked[service] = client.submit(service, "ping", {}, context(), PATIENCE)
        except Unavailable:
            asked[service] = None
    return {service: _answered(client, call) for service, call in asked.items()}


def _answered(client: RpcClient, call: Any) -> dict[str, str] | None:
    try:
        return None if call is None else dict(client.result(call))
    except (Unavailable, RemoteError):
        return None
