"""Calls from one service to another that end: Nameko's own wait for ever."""

from typing import Any

import eventlet
from nameko.exceptions import deserialize_to_instance
from nameko.rpc import MethodProxy, ReplyListener, RpcProxy, ServiceProxy

from rabbitmq.entrypoints import TRANSIENT, SafeQueueConsumer
from rabbitmq.errors import Unavailable

#: Seconds. Below the gateway's own patience, so that the caller hears which part is silent.
PATIENCE = 3.0


#: A fault behind the service we call arrives here as what it is.
deserialize_to_instance(Unavailable)


class SafeReplyListener(ReplyListener):
    queue_consumer = SafeQueueConsumer()
    _reply_events: dict[str, Any]

    def forget(self, reply_event: Any) -> None:
        """Nobody waits for this reply any more."""
        self._reply_events = {key: event for key, event in self._reply_events.items() if event is not reply_event}


class _BoundedMethod(MethodProxy):
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
        return _BoundedService(worker_ctx, self.target_service, self.rpc_reply_listener, **self.options)
