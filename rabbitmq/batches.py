"""
Calls that come many in one message: what a message costs is paid once, and they go to the database together.

A batch of calls of `<service>.<method>` is published under its `names.batch_key`, as JSON: {"batch": [call, ...]}. In
a call is what it would have if it came alone: `args` and `kwargs`, its `headers`, its `id` (the correlation id of its
answer) and its `expiration`. Each is carried out, answered and logged by itself, as if it had come so.
"""

from typing import Any

import eventlet
from kombu import Message

from rabbitmq.queue_consumer import SafeQueueConsumer

#: Batches that a process has at once. One that hangs has no more than these, and the next process gets the others.
ROOM = 3
#: Seconds after which a batch takes no more room, whoever of it is still waited for: a slow call holds up no others.
#: If the process dies, nobody carries out what was left of it; its caller hears nothing, and asks again.
TAKES_ROOM = 0.2


class Batch:
    """A message with many calls, acknowledged when all of them are answered, or some time has passed."""

    def __init__(self, message: Message, calls: list[dict[str, Any]], queue_consumer: SafeQueueConsumer) -> None:
        self.calls = [BatchedCall(self, message, call) for call in calls]
        self._left = len(calls)
        self._message = message
        self._queue_consumer = queue_consumer
        self._makes_room = eventlet.spawn_after(TAKES_ROOM, queue_consumer.ack_early, message)

    def end_one(self) -> None:
        """One of its calls is answered, or nobody waits for that any more."""
        self._left -= 1
        if self._left:
            return
        self._makes_room.cancel()
        if self._message.acknowledged:
            self._queue_consumer.forget(self._message)
        else:
            self._queue_consumer.ack_message(self._message)


class BatchedCall:
    """What is needed of a message, for one call of a batch."""

    def __init__(self, batch: Batch, message: Message, call: dict[str, Any]) -> None:
        self.batch = batch
        self.body = call
        self.headers = call["headers"]
        self.properties = {
            "correlation_id": call["id"],
            "expiration": call["expiration"],
            "reply_to": message.properties.get("reply_to"),
        }
        asked = str(message.delivery_info.get("routing_key", "")).rpartition(".")[0]
        self.delivery_info = {**message.delivery_info, "routing_key": asked}
        self.channel = message.channel
        self.received_at = message.received_at

    def requeue(self) -> None:
        """We are being killed; then the broker has the batch again, and gives it to another process."""


def calls_in(body: Any) -> list[dict[str, Any]] | None:
    """The calls of a batch; None: it is none."""
    calls = body.get("batch") if isinstance(body, dict) else None
    return calls if isinstance(calls, list) and calls and all(map(_is_call, calls)) else None


def _is_call(call: Any) -> bool:
    return (
        isinstance(call, dict)
        and isinstance(call.get("id"), str)
        and isinstance(call.get("expiration"), str)
        and isinstance(call.get("headers"), dict)
    )
