"""What the gateway counts, for Prometheus: of all its processes together, at /metrics."""

import os
import time

from flask import Flask, Response, g, request
from prometheus_client import REGISTRY as OURS
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

requests = Counter("http_requests", "Requests, by what was answered.", ["method", "route", "status"])
request_seconds = Histogram(
    "http_request_seconds", "From a request to its answer.", ["method", "route"], buckets=SECONDS
)
refusals = Counter("http_refusals", "Requests that were not carried out, by the code of the problem.", ["code"])
refused_early = Counter("holds_refused_early", "Holds refused without a call of booking_svc, by the code.", ["code"])
#: *line* is operations, accounts or rest.
waiting_seconds = Histogram(
    "http_waiting_seconds", "From when a request is here until a thread takes it.", ["line"], buckets=SECONDS
)
turned_away = Counter("http_turned_away", "Requests refused since too many waited for a thread.", ["line"])
#: *outcome* is answered, refused, unavailable or failed.
calls = Histogram(
    "rpc_request_seconds", "From a call of a service to its answer.", ["service", "method", "outcome"], buckets=SECONDS
)
#: *outcome* is held, extended, released, booked, repeated or cancelled.
sales = Counter("sales", "What buyers did, as they were told.", ["outcome"])

OUTCOMES = {
    "hold_tickets": "held",
    "extend_hold": "extended",
    "release_hold": "released",
    "book_tickets": "booked",
    "cancel_booking": "cancelled",
}


def register(app: Flask) -> None:
    """Count every request of *app*."""
    app.before_request(_begin)
    app.after_request(_count)


def render() -> bytes:
    """All that was counted; with several processes, by all of them."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(OURS)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return generate_latest(registry)


def count_unrouted(status: int, code: str) -> None:
    """A request that was refused before anybody looked where it leads."""
    requests.labels("any", "none", status).inc()
    refusals.labels(code).inc()


def _begin() -> None:
    g.began = time.perf_counter()


def _count(response: Response) -> Response:
    # The rule, not the path: a path may say anything, and each would be a series of its own.
    route = str(request.url_rule or "none")
    method = request.method if request.url_rule else "any"
    requests.labels(method, route, response.status_code).inc()
    if "began" in g:
        request_seconds.labels(method, route).observe(time.perf_counter() - g.began)
    if response.mimetype == "application/problem+json":
        refusals.labels(g.get("refusal", "none")).inc()
    outcome = OUTCOMES.get((request.endpoint or "").rpartition(".")[2])
    if outcome and 200 <= response.status_code < 300:
        sales.labels("repeated" if "Idempotency-Replayed" in response.headers else outcome).inc()
    return response
