"""Calls from one service to another that end: Nameko's own wait for ever."""

import logging
from typing import Any

import eventlet
from kombu import Exchange, Message, Queue
from nameko.exceptions import deserialize_to_instance
from nameko.rpc import RPC_REPLY_QUEUE_TTL, MethodProxy, ReplyListener, RpcProxy, ServiceProxy

from rabbitmq import patience
from rabbitmq.errors import Unavailable
from rabbitmq.names import RPC_EXCHANGE, outlet, reply_id, reply_queue
from rabbitmq.publisher import ImpatientPublisher
from rabbitmq.queue_consumer import TRANSIENT, SafeQueueConsumer

log = logging.getLogger(__name__)

#: Seconds. Below the gateway's own patience, so that the caller hears which part is silent.
PATIENCE = 3.0

#: A fault behind the service we call arrives here as what it is.
deserialize_to_instance(Unavailable)


class SafeReplyListener(ReplyListener):
    queue_consumer = SafeQueueConsumer()
    _reply_events: dict[str, Any]

    def setup(self) -> None:
        self.routing_key = reply_id(self.container.service_name)
        self.queue = Queue(
            reply_queue(self.routing_key),
            exchange=Exchange(RPC_EXCHANGE, no_declare=True),
            routing_key=self.routing_key,
            queue_arguments={"x-expires": RPC_REPLY_QUEUE_TTL},
        )
        self.queue_consumer.register_provider(self)

    def refuse(self, message: Message, reason: str) -> None:
        """It cannot be read; whoever waits for it waits until its patience ends."""
        log.error("dropped an answer: %s", reason)
        self.queue_consumer.refuse_message(message)

    def handle_message(self, body: Any, message: Message) -> None:
        if isinstance(body, dict) and {"result", "error"} <= body.keys():
            super().handle_message(body, message)
        else:
            self.refuse(message, "it is none")

    def forget(self, correlation_id: str | None) -> None:
        """Nobody waits for this answer any more."""
        self._reply_events.pop(correlation_id or "", None)


class _OneReply:
    """The reply listener for one call, which knows afterwards what to forget."""

    def __init__(self, listener: SafeReplyListener) -> None:
        self._listener = listener
        self.routing_key = listener.routing_key
        self.correlation_id: str | None = None

    def get_reply_event(self, correlation_id: str) -> Any:
        self.correlation_id = correlation_id
        return self._listener.get_reply_event(correlation_id)

    def forget(self) -> None:
        self._listener.forget(self.correlation_id)


class _OutletPublisher(ImpatientPublisher):
    """Publishes to the caller's outlet, whatever exchange Nameko names."""

    def __init__(self, *args: Any, outlet: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outlet = outlet

    def publish(self, payload: Any, **kwargs: Any) -> None:
        super().publish(payload, **{**kwargs, "exchange": self._outlet})


class _BoundedMethod(MethodProxy):
    publisher_cls = _OutletPublisher

    def __init__(self, *args: Any, expiration: float, **options: Any) -> None:
        super().__init__(*args, expiration=expiration, **options)
        self._patience = expiration

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            with eventlet.Timeout(self._patience, Unavailable(self.service_name)):
                return self.call_async(*args, **kwargs).result()
        finally:
            self.reply_listener.forget()


class _BoundedService(ServiceProxy):
    def __getattr__(self, name: str) -> _BoundedMethod:
        life = patience.left(PATIENCE)
        if life <= 0:
            raise Unavailable(self.service_name)
        reply = _OneReply(self.reply_listener)
        return _BoundedMethod(self.worker_ctx, self.service_name, name, reply, expiration=life, **self.options)


class BoundedRpcProxy(RpcProxy):
    """
    A dependency through which a service calls *target_service*.

    Raises:
        Unavailable: no answer within PATIENCE, or while whoever called us still waits; the request expires by then.
    """

    rpc_reply_listener = SafeReplyListener()

    def __init__(self, target_service: str) -> None:
        super().__init__(target_service, delivery_mode=TRANSIENT)

    def get_dependency(self, worker_ctx: Any) -> _BoundedService:
        options = {**self.options, "outlet": outlet(self.container.service_name)}
        return _BoundedService(worker_ctx, self.target_service, self.rpc_reply_listener, **options)
