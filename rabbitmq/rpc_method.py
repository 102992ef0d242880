"""
A method that others may call. Stock Nameko dies of a request without `reply_to`, and of a reply it cannot publish.

A request that can be answered is answered: with the result, with a refusal of the service's contract as itself, with
`Unavailable` where a server did not answer, with what is wrong with it. What cannot be answered is dropped.
"""

import inspect
import json
import logging
import random
import re
import time
from importlib import import_module
from typing import Any

from kombu import Message, Queue
from nameko.exceptions import (
    IncorrectSignature,
    MalformedRequest,
    MethodNotFound,
    UnserializableValueError,
    serialize,
)
from nameko.rpc import Rpc as NamekoRpc
from nameko.rpc import RpcConsumer

from rabbitmq import batches, metrics, names
from rabbitmq.errors import Expired, Unavailable
from rabbitmq.faults import is_fault
from rabbitmq.logs import fields
from rabbitmq.message_context import SafeHeaders
from rabbitmq.queue_consumer import SafeQueueConsumer

log = logging.getLogger(__name__)

ExcInfo = Any
#: Where a service's configuration says ONE_PROCESS_FIRST, that of its processes with the highest gets a request, as
#: long as it can take more. Any will do; what is done together is done in one visit to the database
#: (`rabbitmq/group_commit.py`).
RANK = random.randrange(1_000_000)
#: Bytes of a reply; above 16 MiB the broker takes none.
LARGEST_REPLY = 15 * 1024 * 1024
#: Where a service may write to. At any other key the broker would close the channel, by which requests come, too.
_REPLY_ID = re.compile(names.REPLY_ID, re.ASCII)
_MALFORMED = (MalformedRequest, MethodNotFound, IncorrectSignature)


class SafeRpcConsumer(RpcConsumer):
    """The service's requests. What becomes of each is counted and logged."""

    queue_consumer = SafeQueueConsumer()
    queue: Queue | None

    def setup(self) -> None:
        self._consume(names.rpc_queue(self.container.service_name))

    def _consume(self, queue: str) -> None:
        if self.queue is None:
            ranked = {"x-priority": RANK} if self.container.config.get("ONE_PROCESS_FIRST") else None
            self.queue = Queue(queue, no_declare=True, consumer_arguments=ranked)
            self.queue_consumer.register_provider(self)
            self._registered = True

    def refuse(self, message: Message, reason: str) -> None:
        """It cannot be read."""
        self.handle_result(message, None, (MalformedRequest, MalformedRequest(reason), None))

    def handle_message(self, body: Any, message: Message) -> None:
        if isinstance(body, dict):
            super().handle_message(body, message)
        else:
            self.refuse(message, "it is no request")

    def handle_result(self, message: Message, result: Any, exc_info: ExcInfo) -> tuple[Any, ExcInfo]:
        error = None if exc_info is None else exc_info[1]
        outcome = self._outcome(error)
        if outcome == "unavailable":
            exc_info = (Unavailable, error := Unavailable(self.container.service_name), exc_info[2])
        if not _answerable(message):
            log.error("dropped a request that nobody can answer", extra=fields(call=_asked(message), why=error))
        elif outcome != "expired":
            self._answer(message, result, error)
        self._settle(message)
        self._tell(message, outcome, error)
        return result, exc_info

    def _answer(self, message: Message, result: Any, error: BaseException | None) -> None:
        try:
            self.queue_consumer.answer_message(message, _encoded(result, error))
        except Exception as failure:  # its caller hears nothing, and asks again; the others go on
            log.error("an answer could not be sent: %r", failure, extra=fields(call=_asked(message)))

    def _settle(self, message: Any) -> None:
        self.queue_consumer.ack_message(message)

    def _outcome(self, error: BaseException | None) -> str:
        if error is None:
            return "answered"
        if isinstance(error, Expired):
            return "expired"
        if isinstance(error, _MALFORMED):
            return "malformed"
        if isinstance(error, _refusal_of(self.container.service_name)):
            return "refused"
        return "unavailable" if is_fault(error) or isinstance(error, Unavailable) else "failed"

    def _tell(self, message: Message, outcome: str, error: BaseException | None) -> None:
        method, known = _asked(message), {provider.method_name for provider in self._providers}
        seconds = time.monotonic() - message.received_at
        counted = method if method in known else "unknown"  # else anyone could fill our memory with names
        metrics.calls.labels(counted, outcome).inc()
        metrics.call_seconds.labels(counted).observe(seconds)
        level = logging.DEBUG if method == "ping" else logging.INFO
        why = None if error is None else type(error).__name__
        log.log(level, outcome, extra=fields(call=method, why=why, seconds=f"{seconds:.3f}"))


class BatchConsumer(SafeRpcConsumer):
    """The service's requests that come in batches. Each of them goes its way as if it had come alone."""

    room = batches.ROOM

    def setup(self) -> None:
        if self.container.service_name in names.BATCHED:
            self._consume(names.batch_queue(self.container.service_name))

    def stop(self) -> None:
        if self.queue is not None:
            super().stop()

    def handle_message(self, body: Any, message: Message) -> None:
        calls = batches.calls_in(body)
        if calls is None:
            self.refuse(message, "it is no batch")
            return
        for call in batches.Batch(message, calls, self.queue_consumer).calls:
            super().handle_message(call.body, call)

    def _settle(self, message: Any) -> None:
        if isinstance(message, batches.BatchedCall):
            message.batch.end_one()
        else:
            super()._settle(message)


class Rpc(SafeHeaders, NamekoRpc):
    """An RPC method. The refusals of the service's contract are answers, not errors to alarm anyone with."""

    rpc_consumer = SafeRpcConsumer()
    batch_consumer = BatchConsumer()

    def setup(self) -> None:
        if self._comes_in_batches():
            self.batch_consumer.register_provider(self)
        self.expected_exceptions = (_refusal_of(self.container.service_name),)
        self._signature = inspect.signature(getattr(self.container.service_cls, self.method_name))
        super().setup()

    def handle_result(self, message: Any, worker_ctx: Any, result: Any, exc_info: ExcInfo) -> tuple[Any, ExcInfo]:
        consumer = self.batch_consumer if isinstance(message, batches.BatchedCall) else self.rpc_consumer
        return consumer.handle_result(message, result, exc_info)

    def stop(self) -> None:
        super().stop()
        if self._comes_in_batches():
            self.batch_consumer.unregister_provider(self)

    def _comes_in_batches(self) -> bool:
        return names.comes_in_batches(self.container.service_name, self.method_name)

    def check_signature(self, args: Any, kwargs: Any) -> None:
        """Nameko's takes the method apart anew for each call."""
        try:
            self._signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise IncorrectSignature(str(error)) from error


def _refusal_of(service: str) -> type[Exception]:
    refusal: type[Exception] = import_module(f"{service}.contract").Refusal
    return refusal


def _asked(message: Message) -> str:
    return str(message.delivery_info.get("routing_key", "")).rpartition(".")[2]


def _answerable(message: Message) -> bool:
    return _REPLY_ID.fullmatch(str(message.properties.get("reply_to", ""))) is not None


def _encoded(result: Any, error: BaseException | None) -> bytes:
    """The body of an answer, in Nameko's form."""
    try:
        body = json.dumps({"result": result, "error": error and serialize(error)}).encode()
        if len(body) <= LARGEST_REPLY:
            return body
        unsendable: Any = f"{len(body)} bytes"
    except (TypeError, ValueError, RecursionError):
        unsendable = type(result).__name__
    return json.dumps({"result": None, "error": serialize(UnserializableValueError(unsendable))}).encode()


rpc = Rpc.decorator
