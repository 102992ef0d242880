"""
What stands in the broker before any service starts: exchanges, event queues, the dead-letter queue, the delay levels.

One list, SUBSCRIPTIONS, says who hears what. Services declare the same queues with the same arguments when they
start, so a mistake shows as PRECONDITION_FAILED and not as a lost event.
"""

from typing import Any, NamedTuple

from kombu import Connection, Exchange, Queue

from rabbitmq import delays
from rabbitmq.names import DEAD_LETTERS, RPC_EXCHANGE

SERVICES = ("auth_svc", "concert_svc", "booking_svc", "mailer_svc")


class Subscription(NamedTuple):
    """*service*.*method* hears every *event* of *source*."""

    source: str
    event: str
    service: str
    method: str

    @property
    def queue(self) -> str:
        """The queue's name, as Nameko builds it."""
        return f"evt-{self.source}-{self.event}--{self.service}.{self.method}"


SUBSCRIPTIONS = (
    Subscription("booking_svc", "booking_confirmed", "mailer_svc", "send_confirmation"),
    Subscription("booking_svc", "booking_cancelled", "booking_svc", "release_tickets"),
    Subscription("concert_svc", "concert_starting", "concert_svc", "close_sales"),
    Subscription("mailer_svc", "confirmation_sent", "booking_svc", "record_confirmation_mail"),
)


class OutboxPlace(NamedTuple):
    """A collection whose documents have an outbox."""

    database: str
    collection: str


OUTBOXES = (
    OutboxPlace("booking_svc", "bookings"),
    OutboxPlace("concert_svc", "concerts"),
    OutboxPlace("mailer_svc", "ledger"),
)


def events_exchange(source: str) -> Exchange:
    """The exchange that *source* publishes its events to, as Nameko names it."""
    return Exchange(f"{source}.events", type="topic", durable=True)


def event_queue(subscription: Subscription) -> Queue:
    """A subscription's queue: replicated, and what is refused or redelivered too often goes to the dead letters."""
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": DEAD_LETTERS,
        "x-dead-letter-routing-key": subscription.queue,
        "x-dead-letter-strategy": "at-least-once",
    }
    return Queue(
        subscription.queue,
        exchange=events_exchange(subscription.source),
        routing_key=subscription.event,
        durable=True,
        queue_arguments=arguments,
    )


def apply(amqp_uri: str) -> int:
    """
    Declare everything in the broker; repeating it changes nothing.

    Returns:
        the number of queues that now stand.

    Raises:
        kombu.exceptions.OperationalError: the broker is out of reach.
        amqp.exceptions.PreconditionFailed: a queue stands there with other arguments.
    """
    with Connection(amqp_uri, connect_timeout=5) as connection:
        delays.declare(connection)
        channel = connection.channel()
        Exchange(RPC_EXCHANGE, type="topic", durable=True).bind(channel).declare()
        dead_letters = Exchange(DEAD_LETTERS, type="topic", durable=True)
        Queue(
            DEAD_LETTERS,
            exchange=dead_letters,
            routing_key="#",
            durable=True,
            queue_arguments={"x-queue-type": "quorum"},
        ).bind(channel).declare()
        for service in SERVICES:
            events_exchange(service).bind(channel).declare()
        for subscription in SUBSCRIPTIONS:
            queue = event_queue(subscription).bind(channel)
            queue.declare()
            # A delayed event leaves the delay levels as source.event; a retry comes back to its own queue only.
            queue.bind_to(delays.EXIT, delays.leaves_as(f"{subscription.source}.{subscription.event}"))
            queue.bind_to(delays.EXIT, delays.leaves_as(subscription.queue))
    return len(SUBSCRIPTIONS) + 1 + delays.LEVELS
