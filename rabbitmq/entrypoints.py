"""What a service is written with: `rpc` and `event_handler`, which no message can harm, and what they know."""

from rabbitmq.event_handler import event_handler
from rabbitmq.message_context import Redelivered, RequestId
from rabbitmq.rpc_method import rpc

__all__ = ["Redelivered", "RequestId", "event_handler", "rpc"]
