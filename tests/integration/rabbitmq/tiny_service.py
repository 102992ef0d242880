"""
A Nameko service as small as can be, on our entrypoints: `python -m tests.integration.rabbitmq.tiny_service NAME`.

It hears one event of its own and answers a few calls. AMQP_URI says where; RETRY_AFTER, PATIENCE and HEARTBEAT,
if set, hurry it.
"""

import eventlet

eventlet.monkey_patch()

import logging.config  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from types import ModuleType  # noqa: E402
from typing import Any  # noqa: E402

import pymongo.errors  # noqa: E402
from nameko.extensions import DependencyProvider  # noqa: E402
from nameko.runners import ServiceRunner  # noqa: E402

from rabbitmq import calls, logs, patience, queue_consumer  # noqa: E402
from rabbitmq import event_handler as hearing  # noqa: E402
from rabbitmq.calls import BoundedRpcProxy  # noqa: E402
from rabbitmq.entrypoints import Redelivered, RequestId, event_handler, rpc  # noqa: E402
from rabbitmq.errors import AlreadyHandled  # noqa: E402
from rabbitmq.names import BATCHED  # noqa: E402
from rabbitmq.topology import Subscription  # noqa: E402
from tests.integration.rabbitmq.tiny_errors import Refusal, Refused  # noqa: E402

EVENT = "thing_happened"
METHOD = "hear"


def subscription(name: str) -> Subscription:
    """What a tiny service of this name hears."""
    return Subscription(name, EVENT, name, METHOD)


class Workers(DependencyProvider):
    """Those that work now."""

    def get_dependency(self, worker_ctx: Any) -> Any:
        return list(self.container._worker_threads)


class TroubleWithEvent(Exception):
    """The event asked for it."""


class Unspeakable(Exception):
    """An error that does not even tell its name."""

    def __str__(self) -> str:
        raise ValueError("no words")


def build(name_: str) -> type:
    """The class of the tiny service called *name_*."""
    heard: list[dict[str, Any]] = []
    marks: list[str] = []

    class TinyService:
        name = name_

        request_id = RequestId()
        redelivered = Redelivered()
        workers = Workers()
        if os.environ["CALLS_OTHERS"]:
            me = BoundedRpcProxy(name_)
            nobody = BoundedRpcProxy("nobody_svc")

        @rpc
        def ping(self) -> str:
            return "pong"

        @rpc
        def pid(self, seconds: float = 0) -> int:
            time.sleep(seconds)
            return os.getpid()

        @rpc
        def echo(self, value: Any) -> Any:
            return value

        @rpc
        def slow_echo(self, value: Any, seconds: float) -> Any:
            time.sleep(seconds)
            return value

        @rpc
        def together(self, value: Any, seconds: float = 0, refused: bool = False, deadly: bool = False) -> list[Any]:
            """Comes in batches. What it knows of itself; *deadly*: unless it was asked for before, the process ends."""
            if deadly and not self.redelivered:
                os.kill(os.getpid(), signal.SIGKILL)
            if refused:
                raise Refused(value, "together")
            time.sleep(seconds)
            return [value, os.getpid(), self.request_id, patience.left(99), self.redelivered]

        @rpc
        def mark(self, text: str) -> None:
            marks.append(text)

        @rpc
        def marks(self) -> list[str]:
            return marks

        @rpc
        def refuse_twice(self, first: str, second: str) -> None:
            raise Refused(first, second)

        @rpc
        def make_a_mistake(self) -> None:
            raise KeyError("venue")

        @rpc
        def meet_a_fault(self) -> None:
            raise pymongo.errors.ServerSelectionTimeoutError("no primary")

        @rpc
        def wait_for_a_server(self, seconds: float, in_vain: bool = True) -> None:
            time.sleep(seconds)
            if in_vain:
                raise pymongo.errors.NetworkTimeout("timed out")

        @rpc
        def answer_an_object(self) -> Any:
            return object()

        @rpc
        def answer_too_much(self) -> str:
            return "x" * 17_000_000

        @rpc
        def fail_unspeakably(self) -> None:
            raise Unspeakable

        @rpc
        def call_myself(self, method: str, arguments: dict[str, Any]) -> Any:
            return getattr(self.me, method)(**arguments)

        @rpc
        def call_nobody(self) -> Any:
            return self.nobody.ping()

        @rpc
        def what_request(self) -> str | None:
            return self.request_id

        @rpc
        def is_redelivered(self) -> bool:
            return self.redelivered

        @rpc
        def die_at_first(self) -> bool:
            """Ends the process, unless one has died of it before; then: whether a call from here is redelivered."""
            if not self.redelivered:
                os.kill(os.getpid(), signal.SIGKILL)
            return bool(self.me.is_redelivered())

        @rpc
        def what_life(self) -> float:
            """Seconds that whoever asked still waits."""
            return patience.left(99)

        @rpc
        def busy(self) -> int:
            """How many workers are busy, without the one that answers this."""
            return len(self.workers) - 1

        @rpc
        def waiting_for_replies(self) -> int:
            return len(self.me.reply_listener._reply_events)

        @rpc
        def heard(self) -> list[dict[str, Any]]:
            return heard

        @event_handler(name_, EVENT)
        def hear(self, event: dict[str, Any]) -> None:
            """Fails as often as the event asks for."""
            heard.append({"event": event, "at": time.time(), "request_id": self.request_id})
            times = sum(1 for one in heard if one["event"] == event)
            time.sleep(event["data"].get("seconds", 0))
            if event["data"].get("again"):
                raise AlreadyHandled
            if times <= event["data"]["fail"]:
                raise TroubleWithEvent(event["event_id"])

    return TinyService


def ack_first(self: hearing.EventHandler, body: Any, message: Any) -> None:
    """As many programs do: the event is acknowledged when it comes, and not when its effect is there."""
    self.queue_consumer.ack_message(message)
    self.handle_message_processed = lambda *_: None  # type: ignore[method-assign]
    handle_message(self, body, message)


handle_message = hearing.EventHandler.handle_message


def main(name: str) -> None:
    contract = ModuleType(f"{name}.contract")
    contract.Refusal = Refusal  # type: ignore[attr-defined]
    sys.modules[f"{name}.contract"] = contract
    BATCHED[name] = ("together",)
    hearing.SUBSCRIPTIONS = (subscription(name),)  # type: ignore[assignment]
    if "RETRY_AFTER" in os.environ:
        hearing.RETRY_AFTER = tuple(map(int, os.environ["RETRY_AFTER"].split(",")))  # type: ignore[assignment]
    if "PATIENCE" in os.environ:
        calls.PATIENCE = float(os.environ["PATIENCE"])
    if os.environ.get("ACKS_FIRST"):
        hearing.EventHandler.handle_message = ack_first  # type: ignore[method-assign]
    if "HEARTBEAT" in os.environ:
        queue_consumer.HEARTBEAT = int(os.environ["HEARTBEAT"])
    logging.config.dictConfig(logs.settings(name, "INFO"))
    runner = ServiceRunner(
        {
            "AMQP_URI": os.environ["AMQP_URI"],
            "SERVICE_CONTAINER_CLS": "rabbitmq.container.Container",
            "serializer": "json",
            "max_workers": int(os.environ["WORKERS"]),
            "ONE_PROCESS_FIRST": True,
            "METRICS_HOST": "127.0.0.1",
            "METRICS_PORT": os.environ["METRICS_PORT"],
        }
    )
    runner.add_service(build(name))
    signal.signal(signal.SIGTERM, lambda *_: eventlet.spawn_n(runner.stop))  # as `nameko run` does
    runner.start()
    runner.wait()


if __name__ == "__main__":
    main(sys.argv[1])
