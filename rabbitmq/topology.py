"""
What stands in the broker before any service starts: exchanges, queues, the delay levels, and who reaches what.

All of it is data. Two lists, SUBSCRIPTIONS here and CALLS in `permissions.py`, say who hears and who calls whom;
the rest follows. `broker.py` declares it, `definitions.json` is it in RabbitMQ's own form. Services declare
nothing but the queues of the answers they wait for.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from rabbitmq import delays
from rabbitmq.declarations import Binding, Declarations, Queue, together
from rabbitmq.names import (
    BATCHED,
    DEAD_LETTERS,
    RPC_EXCHANGE,
    SERVICES,
    batch_key,
    batch_queue,
    dead_letters_of,
    events_exchange,
    outlet,
    rpc_queue,
)
from rabbitmq.permissions import CALLS, in_batches

#: Grows with every change that is not an addition. A broker tells it by an exchange of the name `mark(VERSION)`.
VERSION = 2


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

    def sent_as(self, key: str) -> bool:
        """
        Whether *key* is of a message for this queue: of the event, at once or delayed, of a retry or a replay.

        A copy of another message (RabbitMQ's headers CC and BCC) arrives under that one's key.
        """
        event = f"{self.source}.{self.event}"
        return key in (self.event, self.queue) or key.endswith((f".{event}", f".{self.queue}"))


SUBSCRIPTIONS = (
    Subscription("booking_svc", "booking_confirmed", "mailer_svc", "send_confirmation"),
    Subscription("booking_svc", "confirmation_requested", "mailer_svc", "resend_confirmation"),
    Subscription("booking_svc", "booking_cancelled", "booking_svc", "release_tickets"),
    Subscription("booking_svc", "booking_cancelled", "mailer_svc", "send_cancellation"),
    Subscription("booking_svc", "booking_rescheduled", "mailer_svc", "send_rescheduling"),
    Subscription("booking_svc", "booking_reminder_due", "mailer_svc", "send_reminder"),
    Subscription("concert_svc", "concert_starting", "concert_svc", "close_sales"),
    Subscription("concert_svc", "concert_finished", "concert_svc", "finish_concert"),
    Subscription("concert_svc", "concert_rescheduled", "booking_svc", "reschedule_bookings"),
    Subscription("concert_svc", "concert_cancelled", "booking_svc", "cancel_bookings"),
    Subscription("concert_svc", "concert_reminder_due", "booking_svc", "remind_buyers"),
    Subscription("mailer_svc", "confirmation_sent", "booking_svc", "record_confirmation_mail"),
    Subscription("mailer_svc", "confirmation_failed", "booking_svc", "record_failed_confirmation"),
    Subscription("mailer_svc", "mail_entered", "booking_svc", "record_entered_mail"),
    Subscription("auth_svc", "credentials_changed", "auth_svc", "end_older_sessions"),
    Subscription("auth_svc", "password_reset_requested", "mailer_svc", "send_password_reset"),
    Subscription("auth_svc", "email_verification_requested", "mailer_svc", "send_address_verification"),
)


class OutboxPlace(NamedTuple):
    """A collection whose documents have an outbox."""

    database: str
    collection: str


OUTBOXES = (
    OutboxPlace("auth_svc", "users"),
    OutboxPlace("booking_svc", "bookings"),
    OutboxPlace("concert_svc", "concerts"),
    OutboxPlace("mailer_svc", "ledger"),
)


def everything() -> Declarations:
    """All that stands in the broker, whoever is connected."""
    return together(_parts())


def mark(version: int) -> str:
    """The exchange that stands where the topology of *version* was applied; nothing enters it."""
    return f"topology.{version}"


def _parts() -> Iterator[Declarations]:
    yield delays.declarations()
    yield Declarations((RPC_EXCHANGE, DEAD_LETTERS), (), ())
    for service in SERVICES:
        yield _of_service(service)
    for service in BATCHED:
        yield _of_batches(service)
    for subscription in SUBSCRIPTIONS:
        yield _of_subscription(subscription)
    for caller, called in CALLS.items():
        keys = [f"{service}.{method}" for service, methods in called.items() for method in methods]
        keys += [batch_key(f"{service}.{method}") for service, some in in_batches(called).items() for method in some]
        calls = tuple(Binding(outlet(caller), RPC_EXCHANGE, key, to_exchange=True) for key in keys)
        yield Declarations(() if caller in SERVICES else (outlet(caller),), (), calls)
    yield Declarations((mark(VERSION),), (), ())


def _of_service(service: str) -> Declarations:
    """Its requests come in, its replies go out: their keys are one word, those of requests two."""
    return Declarations(
        (events_exchange(service), outlet(service)),
        # Classic and quick: no request outlives its caller's patience.
        (Queue(rpc_queue(service), {}),),
        (
            Binding(RPC_EXCHANGE, rpc_queue(service), f"{service}.*"),
            Binding(outlet(service), RPC_EXCHANGE, "*", to_exchange=True),
        ),
    )


def _of_batches(service: str) -> Declarations:
    """Apart from its other requests: how many it takes at once is another matter (`batches.py`)."""
    queue = batch_queue(service)
    return Declarations((), (Queue(queue, {}),), (Binding(RPC_EXCHANGE, queue, batch_key(f"{service}.*")),))


def _of_subscription(subscription: Subscription) -> Declarations:
    """
    Its queue is replicated; what is refused, or delivered too often, rests in a queue of its own.

    A delayed event leaves the delay levels as source.event, a retry comes back to its own queue only.
    """
    queue, hearer = subscription.queue, outlet(subscription.service)
    arguments: dict[str, Any] = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 20,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": DEAD_LETTERS,
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
    }
    at_rest = {"x-queue-type": "quorum", "x-delivery-limit": delays.LOOKS}
    return Declarations(
        (),
        (Queue(dead_letters_of(queue), at_rest), Queue(queue, arguments)),
        (
            Binding(DEAD_LETTERS, dead_letters_of(queue), queue),
            Binding(events_exchange(subscription.source), queue, subscription.event),
            Binding(delays.EXIT, queue, delays.leaves_as(f"{subscription.source}.{subscription.event}")),
            Binding(delays.EXIT, queue, delays.leaves_as(queue)),
            Binding(hearer, dead_letters_of(queue), queue),
            Binding(hearer, delays.ENTRANCE, delays.leaves_as(queue), to_exchange=True),
        ),
    )
