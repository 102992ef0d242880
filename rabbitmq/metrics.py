"""What a service and the relay count, in Prometheus' form, on a port of their own."""

import logging
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram, start_http_server

log = logging.getLogger(__name__)

#: *outcome* is answered, refused, malformed, unavailable, failed or expired.
calls = Counter("rpc_calls", "Requests, by what became of them.", ["method", "outcome"])
call_seconds = Histogram(
    "rpc_call_seconds",
    "From a request's arrival to its answer.",
    ["method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
#: *outcome* is handled, repeated, retried or parked.
events = Counter("events", "Events heard, by what became of them.", ["queue", "outcome"])

published = Counter("events_published", "Events that the broker has confirmed.", ["source", "event"])
refused = Counter("events_refused", "Tries to publish an event that the broker did not take.", ["outbox"])
outbox_pending = Gauge("outbox_pending", "Documents with unpublished events.", ["outbox"])
outbox_parked = Gauge("outbox_parked", "Documents whose event the broker refuses again and again.", ["outbox"])
outbox_oldest = Gauge("outbox_oldest_seconds", "Age of the oldest unpublished event that is due.", ["outbox"])
dead_letters = Gauge("dead_letters", "Events that a queue has given up, and an operator has to look at.", ["queue"])
relay_active = Gauge("relay_active", "Whether this relay has the lease.")


class Address(NamedTuple):
    host: str
    port: int


def address(host: str, port: str | int | None) -> Address | None:
    """Where the metrics are to be read; None: nowhere."""
    return Address(host, int(port)) if port else None


def serve(host: str, port: str | int | None) -> None:
    """Show them, from a thread of their own; a service does so in its container, on eventlet."""
    where = address(host, port)
    if where is None:
        return
    try:
        start_http_server(where.port, where.host)
    except OSError as error:  # events are published without them, too
        log.error("no metrics on %s:%d: %s", *where, error)
