"""Whether the gateway lives, and whether the platform can serve."""

from typing import Any

from flask import current_app
from redis.exceptions import RedisError

from gateway import schemas
from gateway.blueprint import Blueprint
from gateway.rpc import RemoteError, RpcClient
from gateway.services import context
from rabbitmq.errors import Unavailable

blueprint = Blueprint("health", __name__, url_prefix="/health", description=__doc__)

SERVICES = ("auth_svc", "concert_svc", "booking_svc", "mailer_svc")
#: Seconds a service has to answer a ping.
PATIENCE = 1.5
SILENT = "does not answer"


@blueprint.get("/live")
@blueprint.response(200, schemas.Health)
def live() -> dict[str, Any]:
    """The process answers."""
    return {"status": "live", "checks": {}}


@blueprint.get("/ready")
@blueprint.response(200, schemas.Health)
@blueprint.alt_response(503, schema=schemas.Health, description="Something needed does not answer")
def ready() -> tuple[dict[str, Any], int]:
    """Every part that a booking needs answers."""
    client: RpcClient = current_app.extensions["rpc"]
    connected = client.is_connected()
    checks = {"sessions": _sessions(), "rabbitmq": "ok" if connected else SILENT}
    # Without the broker each would be waited for in vain, one after the other.
    checks.update(_services(client) if connected else dict.fromkeys(SERVICES, SILENT))
    good = all(state == "ok" for state in checks.values())
    return {"status": "ready" if good else "unavailable", "checks": checks}, 200 if good else 503


def _sessions() -> str:
    try:
        current_app.extensions["sessions"].ping()
    except RedisError:
        return SILENT
    return "ok"


def _services(client: RpcClient) -> dict[str, str]:
    """The state of each service; they are asked all at once."""
    asked: dict[str, Any] = {}
    for service in SERVICES:
        try:
            asked[service] = client.submit(service, "ping", {}, context(), PATIENCE)
        except Unavailable:
            asked[service] = None
    return {service: _answered(client, call) for service, call in asked.items()}


def _answered(client: RpcClient, call: Any) -> str:
    try:
        return "ok" if call is not None and client.result(call) == "pong" else SILENT
    except (Unavailable, RemoteError):
        return SILENT
