"""What the gateway counts, for Prometheus."""

from flask import Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from gateway import metrics
from gateway.access import anyone
from gateway.blueprint import Blueprint

blueprint = Blueprint("metrics", __name__, description=__doc__)


@blueprint.get("/metrics")
@blueprint.response(200, {"type": "string"}, content_type="text/plain")
@anyone()
def show_metrics() -> Response:
    """Requests, refusals, sales and calls of services, in Prometheus' text form. For operators: keep it inside."""
    return Response(metrics.render(), content_type=CONTENT_TYPE_PLAIN_0_0_4)
