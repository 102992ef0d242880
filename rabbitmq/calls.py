"""Calls from one service to another that end: Nameko's own wait for ever."""

from typing import Any

import eventlet
from kombu import Exchange, Queue
from nameko.amqp.publish import Publisher
from nameko.exceptions import deserialize_to_instance
from nameko.rpc import RPC_REPLY_QUEUE_TTL, MethodProxy, ReplyListener, RpcProxy, ServiceProxy

from rabbitmq.entrypoints import TRANSIENT, SafeQueueConsumer
from rabbitmq.errors import Unavailable
from rabbitmq.names import RPC_EXCHANGE, outlet, reply_id, reply_queue

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

    def forget(self, reply_event: Any) -> None:
        """Nobody waits for this reply any more."""
        self._reply_events = {key: event for key, event in self._reply_events.items() if event is not reply_event}


class _OutletPublisher(Publisher):
    """Publishes to the caller's outlet, whatever exchange Nameko names."""

    def __init__(self, *args: Any, outlet: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._outlet = outlet

    def publish(self, payload: Any, **kwargs: Any) -> None:
        super().publish(payload, **{**kwargs, "exchange": self._outlet})


class _BoundedMethod(MethodProxy):
    publisher_cls = _OutletPublisher

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with eventlet.Timeout(PATIENCE, Unavailable(self.service_name)):
            reply = self.call_async(*args, **kwargs)
            try:
                return reply.result()
            except Unavailable:
                self.reply_listener.forget(reply.reply_event)
                raise


class _BoundedService(ServiceProxy):
    def __getattr__(self, name: str) -> _BoundedMethod:
        return _BoundedMethod(self.worker_ctx, self.service_name, name, self.reply_listener, **self.options)


class BoundedRpcProxy(RpcProxy):
    """
    A dependency through which a service calls *target_service*.

    Raises:
        Unavailable: no answer within PATIENCE; the request expires in its queue by then.
    """

    rpc_reply_listener = SafeReplyListener()

    def __init__(self, target_service: str) -> None:
        super().__init__(target_service, expiration=PATIENCE, delivery_mode=TRANSIENT)

    def get_dependency(self, worker_ctx: Any) -> _BoundedService:
        options = {**self.options, "outlet": outlet(self.container.service_name)}
        return _BoundedService(worker_ctx, self.target_service, self.rpc_reply_listener, **options)
