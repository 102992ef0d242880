"""Takes messages out of the queues of a service and hands each to whom it is for; none ends the process."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import eventlet
from amqp import basic_message, spec  # type: ignore[import-untyped]
from amqp.exceptions import AMQPError, NotFound, RecoverableConnectionError  # type: ignore[import-untyped]
from kombu import Connection, Message
from kombu.exceptions import MessageStateError
from nameko.constants import AMQP_URI_CONFIG_KEY
from nameko.messaging import QueueConsumer, QueueConsumerStopped

from rabbitmq import frames, wire
from rabbitmq.errors import Unavailable
from rabbitmq.logs import request_id
from rabbitmq.message_context import PREFIX, REQUEST_ID, own_texts
from rabbitmq.names import outlet
from rabbitmq.publisher import SOCKET, ImpatientPublisher

log = logging.getLogger(__name__)

#: Seconds between two looks at whether to stop; Nameko looks once a second, and needs five to end.
LOOK = 0.2
#: Seconds between two tries to connect.
RECONNECTING = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 2}
#: Seconds between heartbeats. After two without one the connection is made anew.
HEARTBEAT = 20
#: Seconds for the broker to let us go.
ANSWERING = 2
#: Seconds for the broker to confirm what is published; then it is published again over a new connection.
CONFIRMING = 5
#: Seconds for all tries to publish a message.
PUBLISHING = 15
TRANSIENT = 1


class SafeQueueConsumer(QueueConsumer):
    """
    A service's one connection for all that it consumes.

    Whoever registers here has `queue`, `handle_message(body, message)`, and `refuse(message, reason)` for what cannot
    be read; and `room`, if it is not for as many messages at once as there are workers.
    """

    def __init__(self) -> None:
        super().__init__()
        self._unsettled: set[int] = set()
        self._asked_to_stop = False
        self._pending_remove_providers: dict[Any, Any] = {}

    @property
    def connection(self) -> Connection:
        connection = super().connection
        connection.heartbeat = HEARTBEAT
        connection.transport_options = {
            **(connection.transport_options or {}),
            **SOCKET,
            "frame_handler": wire.frame_handler,
            "frame_writer": frames.frame_writer,
        }
        return connection

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """Left to itself kombu looks for the broker ever more rarely, and waits without limit to part from it."""
        connection = self.create_connection()
        try:
            connection.ensure_connection(self.on_connection_error, callback=self._look_whether_to_stop, **RECONNECTING)
            yield connection
        finally:
            with eventlet.Timeout(ANSWERING, False):
                connection.release()  # in order, so that the broker has what was acknowledged
            connection.collect()

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Queues are declared by the topology alone: one that is missing is waited for."""
        while not self.should_stop:
            try:
                super().run(*args, safety_interval=LOOK, **kwargs)
            except NotFound as error:
                log.error("waiting for the topology to be applied: %s", error)
                eventlet.sleep(1)
            except QueueConsumerStopped:
                if not self._consumers_ready.ready():
                    raise  # Nameko waits for it

    def get_consumers(self, consumer_cls: Any, channel: Any) -> Any:
        for provider in self._providers:
            consumer = consumer_cls(queues=[provider.queue], on_message=partial(self._receive, provider))
            consumer.qos(prefetch_count=getattr(provider, "room", self.prefetch_count))
            consumer.consume()  # at once: the broker takes a channel's prefetch count as that of who consumes next
            self._consumers[provider] = consumer
        return self._consumers.values()

    def on_iteration(self) -> None:
        """Nameko hangs up as soon as nothing more is to come; then what is being done could not be acknowledged."""
        try:
            self._cancel_consumers_if_requested()
        finally:
            if not self._consumers and (self._asked_to_stop or not self._unsettled):
                self.should_stop = True

    def _look_whether_to_stop(self) -> None:
        """While there is no broker."""
        if self._consumers_ready.ready():  # else it starts, and `Container.stop` ends that
            with suppress(AMQPError, OSError):
                self.on_iteration()
        if self.should_stop:
            raise QueueConsumerStopped

    def _cancel_consumers_if_requested(self) -> None:
        """
        Nameko's waits for the broker's consent without limit.

        Raises:
            AMQPError, OSError: it does not answer, or is gone; they have left all the same.
        """
        if not self._pending_remove_providers:  # as nearly always; each message comes by here
            return
        leaving, self._pending_remove_providers = self._pending_remove_providers, {}
        try:
            with eventlet.Timeout(ANSWERING, RecoverableConnectionError("the broker does not let us go")):
                for provider in leaving:
                    self._consumers[provider].cancel()
        finally:
            for provider, has_left in leaving.items():
                del self._consumers[provider]
                has_left.send()

    def stop(self) -> None:
        self._asked_to_stop = True  # by now all workers are done
        super().stop()

    def _receive(self, provider: Any, message: Message) -> None:
        message.received_at = time.monotonic()
        self._unsettled.add(id(message))
        self.container.spawn_managed_thread(partial(self._hand_over, provider, message))

    def _hand_over(self, provider: Any, message: Message) -> None:
        request_id.set(own_texts(message.headers, PREFIX).get(REQUEST_ID))
        try:
            try:
                body = wire.read(message)
            except wire.Unreadable as unreadable:
                provider.refuse(message, str(unreadable))
            else:
                provider.handle_message(body, message)
        except Exception:  # nobody waits for this thread, and Nameko would end the process
            log.exception("stumbled over a message")
            self.refuse_message(message)

    def answer_message(self, message: Message, body: bytes) -> None:
        """
        Send *body*, JSON, to who asked.

        It goes the way that the request came, ahead of its acknowledgement: either the broker has the answer, or it
        still has the request, and gives it to somebody again. So nobody need wait for it to be confirmed.

        Raises:
            Exception: the connection is gone, or the request does not say whom to answer.
        """
        answer = basic_message.Message(
            body,
            content_type=wire.JSON,
            content_encoding="utf-8",
            delivery_mode=TRANSIENT,
            correlation_id=message.properties.get("correlation_id"),
        )
        # What basic_publish sends; before that it would read from the connection, which is being read already.
        publish = (0, outlet(self.container.service_name), message.properties["reply_to"], False, False)
        message.channel.send_method(spec.Basic.Publish, "Bssbb", publish, answer)

    def ack_early(self, message: Message) -> None:
        """
        Have the broker send another for it, though it is not done. If we die now, nobody gets it again.

        It is unsettled until `forget`.
        """
        self._tell_broker(message, message.ack)

    def forget(self, message: Message) -> None:
        """What was acknowledged early is done."""
        self._unsettled.discard(id(message))

    def ack_message(self, message: Message) -> None:
        self._settle(message, message.ack)

    def requeue_message(self, message: Message) -> None:
        """Somebody else, or we, shall have it again at once."""
        self._settle(message, message.requeue)

    def refuse_message(self, message: Message) -> None:
        """Nobody shall have it; from an event's queue the broker moves it to the dead letters."""
        self._settle(message, partial(message.reject, requeue=False))

    def _settle(self, message: Message, how: Any) -> None:
        self._unsettled.discard(id(message))
        self._tell_broker(message, how)

    def _tell_broker(self, message: Message, how: Any) -> None:
        if not message.channel.connection:
            return  # the broker has taken it back already
        try:
            how()
        except (AMQPError, OSError, AttributeError) as error:  # so it has now
            log.warning("the connection went while a message was being settled: %r", error)
        except MessageStateError as error:
            log.error("a message was to be settled twice: %s", error)


def publish(container: Any, routing_key: str, body: bytes, **properties: Any) -> None:
    """
    Publish *body*, JSON unless *properties* say otherwise, through the service's outlet.

    The broker has it when this returns.

    Raises:
        Exception: it has not, or nobody knows: of kombu, amqp, nameko or the network.
    """
    as_json = {"content_type": wire.JSON, "content_encoding": "utf-8"}
    with eventlet.Timeout(PUBLISHING, Unavailable("rabbitmq")):
        ImpatientPublisher(container.config[AMQP_URI_CONFIG_KEY]).publish(
            body,
            exchange=outlet(container.service_name),
            routing_key=routing_key,
            confirm_timeout=CONFIRMING,
            **{**as_json, **properties},
        )
