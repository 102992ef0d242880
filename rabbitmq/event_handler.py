"""
A method that hears an event. Stock Nameko acknowledges an event whose handler failed, and one that it cannot read.

Here a failed event comes back to its own queue after a growing delay, and rests at last among the dead letters, with
the reason; what cannot be read goes there at once. A handler that finds its event's effect done raises
`AlreadyHandled`.
"""

import logging
import time
from typing import Any

import eventlet
from kombu import Message, Queue
from nameko.events import EventHandler as NamekoEventHandler

from rabbitmq import delays, metrics
from rabbitmq.errors import AlreadyHandled
from rabbitmq.logs import fields
from rabbitmq.message_context import SafeHeaders, own_texts
from rabbitmq.names import ATTEMPT_HEADER, REASON_HEADER
from rabbitmq.queue_consumer import SafeQueueConsumer, publish
from rabbitmq.topology import SUBSCRIPTIONS, Subscription

log = logging.getLogger(__name__)

ExcInfo = Any
#: A failed event comes back after so many seconds; after the last it rests among the dead letters.
RETRY_AFTER = (1, 5, 15, 60, 300, 900, 3600)
#: Seconds until an event that the broker would not take back is tried again here.
BROKER_PAUSE = 5
LONGEST_REASON = 500


class EventHandler(SafeHeaders, NamekoEventHandler):
    """Hears an event of SUBSCRIPTIONS; one that fails is tried again later, never forgotten."""

    queue_consumer = SafeQueueConsumer()

    def setup(self) -> None:
        subscription = Subscription(self.source_service, self.event_type, self.container.service_name, self.method_name)
        if subscription not in SUBSCRIPTIONS:
            raise LookupError(f"{subscription} is not in rabbitmq.topology.SUBSCRIPTIONS")
        self.expected_exceptions = (AlreadyHandled,)
        self.subscription = subscription
        self.queue = Queue(subscription.queue, no_declare=True)
        self.queue_consumer.register_provider(self)

    def refuse(self, message: Message, reason: str) -> None:
        """It cannot be read."""
        if self._was_sent_here(message):
            self._park(message, reason)

    def handle_message(self, body: Any, message: Message) -> None:
        if not self._was_sent_here(message):
            return
        if isinstance(body, dict):
            super().handle_message(body, message)
        else:
            self._park(message, "it is no event")

    def handle_message_processed(self, message: Message, result: Any = None, exc_info: ExcInfo = None) -> None:
        if exc_info is None or isinstance(exc_info[1], AlreadyHandled):
            self.queue_consumer.ack_message(message)
            self._tell(message, "handled" if exc_info is None else "repeated")
            return
        attempt, reason = attempts_before(message), f"{type(exc_info[1]).__name__}: {exc_info[1]}"
        if attempt >= len(RETRY_AFTER):
            self._park(message, f"failed {attempt + 1} times, at last with {reason}")
        else:
            self._retry(message, attempt, reason)

    def _was_sent_here(self, message: Message) -> bool:
        """Drops a copy of somebody's other message: as a dead letter it would be an operator's replay from an event."""
        key = str(message.delivery_info.get("routing_key", ""))
        if self.subscription.sent_as(key):
            return True
        self.queue_consumer.ack_message(message)
        self._tell(message, "foreign", f"sent as {key}")
        return False

    def _retry(self, message: Message, attempt: int, reason: str) -> None:
        key = delays.enters_as(self.queue.name, RETRY_AFTER[attempt])
        try:
            self._publish(message, key, {ATTEMPT_HEADER: attempt + 1})
        except Exception as error:
            log.warning("could not send %s back to its queue: %r", self.queue.name, error)
            eventlet.sleep(BROKER_PAUSE)  # the broker is in trouble, and at once would find it so
            self.queue_consumer.requeue_message(message)
        else:
            self.queue_consumer.ack_message(message)
        self._tell(message, "retried", reason)

    def _park(self, message: Message, reason: str) -> None:
        reason = reason[:LONGEST_REASON]
        headers = {ATTEMPT_HEADER: attempts_before(message), REASON_HEADER: reason}
        try:
            self._publish(message, self.queue.name, headers, timestamp=int(time.time()))
        except Exception as error:
            log.warning("the broker parks a message of %s without its reason: %r", self.queue.name, error)
            self.queue_consumer.refuse_message(message)
        else:
            self.queue_consumer.ack_message(message)
        self._tell(message, "parked", reason)

    def _publish(self, message: Message, routing_key: str, headers: dict[str, Any], **more: Any) -> None:
        """The same message again, without what the broker noted on it: with that, it takes a retry for a loop."""
        publish(
            self.container,
            routing_key,
            message.body or b"",
            headers={**own_texts(message.headers), **headers},
            message_id=message.properties.get("message_id"),
            content_type=message.content_type or "application/octet-stream",
            content_encoding=message.content_encoding or "binary",
            mandatory=True,
            **more,
        )

    def _tell(self, message: Message, outcome: str, reason: str | None = None) -> None:
        metrics.events.labels(self.queue.name, outcome).inc()
        levels = {"retried": logging.WARNING, "parked": logging.ERROR, "foreign": logging.ERROR}
        log.log(
            levels.get(outcome, logging.INFO),
            outcome,
            extra=fields(event=self.event_type, id=message.properties.get("message_id"), why=reason),
        )


def attempts_before(message: Message) -> int:
    """How often the event has failed, as far as its header can be believed."""
    counted = message.headers.get(ATTEMPT_HEADER)
    return counted if isinstance(counted, int) and counted >= 0 else 0


event_handler = EventHandler.decorator
