"""
Nameko's entrypoints, made safe: `rpc` and `event_handler` for every service.

Stock Nameko 2.14.1 dies of a request without `reply_to`, acknowledges an event whose handler failed, and throws
away what it can't decode. Here a bad request is dropped with a log line, a failed event comes back after a
growing delay and at last rests among the dead letters, and a fault of a server is told to the caller as `Unavailable`.
"""

import logging
from importlib import import_module
from typing import Any

import eventlet
from amqp.exceptions import ConnectionError as ConnectionLost  # type: ignore[import-untyped]
from amqp.exceptions import NotFound
from kombu import Message, Queue
from nameko.amqp.publish import Publisher
from nameko.constants import AMQP_URI_CONFIG_KEY, CALL_ID_STACK_CONTEXT_KEY
from nameko.events import EventHandler as NamekoEventHandler
from nameko.extensions import DependencyProvider
from nameko.messaging import HeaderDecoder, QueueConsumer
from nameko.rpc import Responder, RpcConsumer
from nameko.rpc import Rpc as NamekoRpc

from rabbitmq import delays
from rabbitmq.errors import Unavailable
from rabbitmq.names import ATTEMPT_HEADER, outlet, rpc_queue
from rabbitmq.topology import SUBSCRIPTIONS, Subscription

log = logging.getLogger(__name__)

ExcInfo = Any
TRANSIENT = 1
JSON = "application/json"
#: A failed event comes back after so many seconds; after the last it rests among the dead letters.
RETRY_AFTER = (1, 5, 15, 60, 300, 900, 3600)
REDELIVERED_HEADER = "nameko.redelivered"
BROKERS_NOTES = ("x-death", "x-first-death-", "x-last-death-")
#: Roots of the errors that mean "a server does not answer". By name, so that a service needs only its own drivers.
FAULTS = {
    "pymongo.errors.PyMongoError",
    "redis.exceptions.RedisError",
    "kombu.exceptions.OperationalError",
    "amqp.exceptions.AMQPError",
    "nameko.exceptions.UnknownService",
}


def is_fault(error: BaseException) -> bool:
    """Whether *error* tells of a server that does not answer, rather than of a mistake of ours."""
    return any(f"{cls.__module__}.{cls.__qualname__}" in FAULTS for cls in type(error).__mro__)


class SafeQueueConsumer(QueueConsumer):
    """A message that can't be decoded is refused (an event's queue sends it to the dead letters), not acknowledged."""

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        log.error("refused an undecodable message from %s: %s", message.delivery_info.get("routing_key"), exc)
        self.refuse_message(message)

    def refuse_message(self, message: Message) -> None:
        """Never again, unless the connection is gone: then the broker has taken it back already."""
        if message.channel.connection:
            try:
                message.reject(requeue=False)
            except ConnectionLost:
                pass

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Queues are declared by the topology alone: one that is missing is waited for."""
        while not self.should_stop:
            try:
                super().run(*args, **kwargs)
            except NotFound as error:
                log.error("waiting for the topology to be applied: %s", error)
                eventlet.sleep(1)


class SafeHeaders(HeaderDecoder):
    """A call stack that Nameko can't continue is none."""

    def unpack_message_headers(self, message: Message) -> dict[str, Any]:
        headers = super().unpack_message_headers(message)
        stack = headers.get(CALL_ID_STACK_CONTEXT_KEY, [])
        if not isinstance(stack, list) or not all(isinstance(call, str) for call in stack):
            del headers[CALL_ID_STACK_CONTEXT_KEY]
        return headers


class TransientResponder(Responder):
    """A reply nobody waits for after a restart need not be written to disk."""

    def publisher_cls(self, *args: Any, **kwargs: Any) -> Publisher:
        return Publisher(*args, delivery_mode=TRANSIENT, **kwargs)


class SafeRpcConsumer(RpcConsumer):
    queue_consumer = SafeQueueConsumer()
    queue: Queue | None

    def setup(self) -> None:
        if self.queue is None:
            self.queue = Queue(rpc_queue(self.container.service_name), no_declare=True)
            self.queue_consumer.register_provider(self)
            self._registered = True

    def handle_message(self, body: Any, message: Message) -> None:
        # kombu lets application/data pass, too, but Nameko dies of answering it.
        if not message.properties.get("reply_to") or message.properties.get("content_type") != JSON:
            log.error("dropped a request without reply_to, or not in JSON: %s", message.delivery_info["routing_key"])
            self.queue_consumer.refuse_message(message)
            return
        if not isinstance(body, dict):
            body = {}  # answered as MalformedRequest
        message.headers[REDELIVERED_HEADER] = bool(message.delivery_info.get("redelivered"))
        super().handle_message(body, message)

    def handle_result(self, message: Message, result: Any, exc_info: ExcInfo) -> tuple[Any, ExcInfo]:
        if exc_info is not None and is_fault(exc_info[1]):
            exc_info = (Unavailable, Unavailable(self.container.service_name), exc_info[2])
        amqp_uri = self.container.config[AMQP_URI_CONFIG_KEY]
        responder = TransientResponder(amqp_uri, outlet(self.container.service_name), "json", message)
        result, exc_info = responder.send_response(result, exc_info)
        self.queue_consumer.ack_message(message)
        return result, exc_info


class Rpc(SafeHeaders, NamekoRpc):
    """An RPC method. The refusals of the service's contract are answers, not errors to alarm anyone with."""

    rpc_consumer = SafeRpcConsumer()

    def setup(self) -> None:
        self.expected_exceptions = (import_module(f"{self.container.service_name}.contract").Refusal,)
        super().setup()


class EventHandler(SafeHeaders, NamekoEventHandler):
    """Hears an event of SUBSCRIPTIONS; one that fails is tried again later, never forgotten."""

    queue_consumer = SafeQueueConsumer()

    def setup(self) -> None:
        subscription = Subscription(self.source_service, self.event_type, self.container.service_name, self.method_name)
        if subscription not in SUBSCRIPTIONS:
            raise LookupError(f"{subscription} is not in rabbitmq.topology.SUBSCRIPTIONS")
        self.queue = Queue(subscription.queue, no_declare=True)
        self.queue_consumer.register_provider(self)

    def handle_message(self, body: Any, message: Message) -> None:
        if not isinstance(body, dict):
            log.error("refused an event that is none, from %s", self.queue.name)
            self.queue_consumer.refuse_message(message)
            return
        super().handle_message(body, message)

    def handle_message_processed(self, message: Message, result: Any = None, exc_info: ExcInfo = None) -> None:
        if exc_info is None:
            self.queue_consumer.ack_message(message)
            return
        attempt = _attempts_before(message)
        if attempt >= len(RETRY_AFTER):
            log.error("gave up on %s after %d attempts: %s", self.queue.name, attempt + 1, exc_info[1])
            self.queue_consumer.refuse_message(message)
            return
        try:
            self._send_back(message, attempt)
        except Exception as error:  # the broker is in trouble: it gives the message to us again by itself
            log.warning("could not send %s back to its queue: %s", self.queue.name, error)
            self.queue_consumer.requeue_message(message)
        else:
            self.queue_consumer.ack_message(message)

    def _send_back(self, message: Message, attempt: int) -> None:
        Publisher(self.container.config[AMQP_URI_CONFIG_KEY]).publish(
            message.payload,
            exchange=outlet(self.container.service_name),
            routing_key=delays.enters_as(self.queue.name, RETRY_AFTER[attempt]),
            headers={**_own_headers(message), ATTEMPT_HEADER: attempt + 1},
            mandatory=True,
        )


def _own_headers(message: Message) -> dict[str, Any]:
    """Without the broker's notes on the delays it has been through: it takes a second round for an endless one."""
    return {name: value for name, value in message.headers.items() if not name.startswith(BROKERS_NOTES)}


def _attempts_before(message: Message) -> int:
    counted = message.headers.get(ATTEMPT_HEADER)
    return counted if isinstance(counted, int) and counted >= 0 else 0


class RequestId(DependencyProvider):
    """The id of the HTTP request that this call or event goes back to, or None."""

    def get_dependency(self, worker_ctx: Any) -> str | None:
        request_id = worker_ctx.data.get("request_id")
        return None if request_id is None else str(request_id)


class Redelivered(DependencyProvider):
    """Whether the call was given to another process before, which has died over it or lost its connection."""

    def get_dependency(self, worker_ctx: Any) -> bool:
        return bool(worker_ctx.data.get("redelivered"))


rpc = Rpc.decorator
event_handler = EventHandler.decorator
