"""A tiny Nameko service of a test's own, in a process of its own, on the run's broker (see tiny_service.py)."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.rpc import RpcClient
from rabbitmq import broker, topology
from rabbitmq.errors import Unavailable
from rabbitmq.names import BATCHED, batch_queue, dead_letters_of, events_exchange, outlet, rpc_queue
from rabbitmq.topology import Subscription
from tests import local_stack
from tests.polling import poll

ROOT = Path(__file__).resolve().parents[3]
EVENT, METHOD = "thing_happened", "hear"
#: The method that is called in batches.
TOGETHER = "together"
STARTING = 20
#: Seconds between the attempts of its handler: 3 is two levels of delay, one of which 1 has used before.
RETRY_AFTER = (1, 3)
#: Seconds until it gives up a call to another service.
PATIENCE = 0.5
#: Requests and events that it works on at once.
WORKERS = 32

#: Values by name and labels.
Metrics = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Tiny:
    """The service, which reaches the broker by *its_uri*; its queues stand before it starts."""

    def __init__(self, amqp_uri: str, its_uri: str | None = None) -> None:
        self.name = f"tiny_{uuid4().hex[:8]}"
        self.subscription = Subscription(self.name, EVENT, self.name, METHOD)
        self.client = RpcClient(amqp_uri, [])
        self._amqp_uri = its_uri or amqp_uri
        self._process: subprocess.Popen[bytes] | None = None
        self._metrics_port = local_stack.free_port()
        BATCHED[self.name] = (TOGETHER,)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(topology, "SUBSCRIPTIONS", (self.subscription,))
            patch.setattr(topology, "SERVICES", (self.name,))
            patch.setattr(topology, "BATCHED", {self.name: (TOGETHER,)})
            patch.setattr(topology, "CALLS", {self.name: {self.name: ("*",)}})
            broker.apply(amqp_uri)

    def start(self, calls_others: bool = True, acks_first: bool = False) -> None:
        """Start it; returns when it answers."""
        self.begin(calls_others, acks_first)
        poll(self._answers, STARTING)

    def begin(self, calls_others: bool = True, acks_first: bool = False) -> None:
        """Start it; returns at once."""
        self._process = self._started(calls_others, acks_first)

    @contextmanager
    def another(self) -> Iterator[None]:
        """A second process of it serves during the block, as soon as it takes requests."""
        process = self._started(metrics_port=local_stack.free_port())
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _started(
        self, calls_others: bool = True, acks_first: bool = False, metrics_port: int = 0
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.integration.rabbitmq.tiny_service", self.name],
            cwd=ROOT,
            env={
                **os.environ,
                "AMQP_URI": self._amqp_uri,
                "RETRY_AFTER": ",".join(map(str, RETRY_AFTER)),
                "PATIENCE": str(PATIENCE),
                "CALLS_OTHERS": "yes" if calls_others else "",
                "ACKS_FIRST": "yes" if acks_first else "",
                "WORKERS": str(WORKERS),
                "METRICS_PORT": str(metrics_port or self._metrics_port),
            },
            stderr=subprocess.DEVNULL,
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still for the time of the block."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask_to_stop(self) -> None:
        """End it in order; returns at once."""
        assert self._process
        self._process.terminate()

    def metrics(self) -> Metrics:
        """What it counts."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in families
                for sample in family.samples
            }

    def wait_until_dead(self) -> None:
        """Returns when its process has ended by itself."""
        assert self._process
        self._process.wait(STARTING)

    def call(self, rpc_method: str, /, timeout: float = 4.0, **arguments: Any) -> Any:
        """What it answers to the call."""
        return self.client.call(self.name, rpc_method, arguments, {}, timeout)

    def heard(self, event_id: str) -> list[dict[str, Any]]:
        """Each time that it has heard the event, as {"event", "at", "request_id"}."""
        return [one for one in self.call("heard") if one["event"].get("event_id") == event_id]

    def _answers(self) -> bool:
        try:
            return self.call("ping", timeout=0.5) == "pong"
        except Unavailable:
            return False


@contextmanager
def running(amqp_uri: str, its_uri: str | None = None) -> Iterator[Tiny]:
    """A tiny service that answers; afterwards nothing of it is left in the broker."""
    tiny = Tiny(amqp_uri, its_uri)
    try:
        tiny.start()
        yield tiny
    finally:
        tiny.kill()
        tiny.client.close()
        del BATCHED[tiny.name]
        connection = pika.BlockingConnection(pika.URLParameters(amqp_uri))  # one from before may have been given up
        channel = connection.channel()
        requests = (rpc_queue(tiny.name), batch_queue(tiny.name))
        for queue in (tiny.subscription.queue, dead_letters_of(tiny.subscription.queue), *requests):
            channel.queue_delete(queue)
        for exchange in (events_exchange(tiny.name), outlet(tiny.name)):
            channel.exchange_delete(exchange)
        connection.close()


def event(fail: int = 0, **more: Any) -> dict[str, Any]:
    """An event for a tiny service, whose handler is to fail the first *fail* times."""
    return {"event_id": uuid4().hex, "data": {"fail": fail, **more}}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()
