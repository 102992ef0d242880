"""
Messages that nobody of ours would send. Whatever comes, the process stays, and answers the next call within a second.

Each request is answered with what is wrong with it, or is gone; each event is heard, or lies among the dead letters.
"""

import bz2
import gzip
import json
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel

from rabbitmq.names import RPC_EXCHANGE, reply_id, reply_queue
from tests import local_stack
from tests.integration.rabbitmq import dead_letters
from tests.integration.rabbitmq.tiny import EVENT, Tiny, encoded, event
from tests.local_stack import LocalStack
from tests.polling import poll

CALL = encoded({"args": [], "kwargs": {}})
#: Seconds until a service that was sent poison must have answered a call.
UNHARMED = 1.0
GONE, HEARD = None, None
ZEROS = b"0" * 50_000_000
BIG = 2 * 1024 * 1024


class Raw(BasicProperties):
    """Properties as bytes, which need not mean anything."""

    def __init__(self, flags: int, content: bytes) -> None:
        super().__init__()
        self._raw = struct.pack(">H", flags) + content

    def encode(self) -> list[bytes]:
        return [self._raw]


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def table(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def raw_headers(content: bytes, reply_to: str = "nobody") -> Raw:
    """The properties of a good message, with headers that pika would not write."""
    texts = short(b"application/json") + short(b"utf-8")
    return Raw(0x8000 | 0x4000 | 0x2000 | 0x0200, texts + table(content) + short(reply_to.encode()))


def nested(depth: int) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    for _ in range(depth):
        headers = {"a": headers}
    return headers


class Poison(NamedTuple):
    """What is sent, and what becomes of it: the error that is answered, the reason it is parked for, or neither."""

    body: bytes
    properties: dict[str, Any] | BasicProperties
    fate: str | None
    method: str | bytes = "ping"


#: reply_to is good unless it is said here.
REQUESTS: dict[str, Poison] = {
    "no reply_to": Poison(CALL, {"reply_to": None}, GONE),
    "empty reply_to": Poison(CALL, {"reply_to": ""}, GONE),
    "reply_to that names a method": Poison(CALL, {"reply_to": "booking_svc.cancel_booking"}, GONE),
    "reply_to that names a queue of events": Poison(CALL, {"reply_to": "EVENT QUEUE"}, GONE),
    "reply_to nobody listens to": Poison(CALL, {"reply_to": "nobody"}, GONE),
    "reply_to with odd letters": Poison(CALL, {"reply_to": "söhne #*\n"}, GONE),
    "reply_to of 255 letters": Poison(CALL, {"reply_to": "x" * 255}, GONE),
    "no content_type": Poison(CALL, {"content_type": None}, "MalformedRequest"),
    "no correlation_id": Poison(CALL, {"correlation_id": None}, None),
    "no properties": Poison(CALL, BasicProperties(), GONE),
    "not JSON": Poison(b"{{{", {}, "MalformedRequest"),
    "not UTF-8": Poison(b"\xff\xfe", {}, "MalformedRequest"),
    "UTF-16": Poison(CALL.decode().encode("utf-16"), {"content_encoding": "utf-16"}, "MalformedRequest"),
    "nested too deep": Poison(b"[" * 100_000, {}, "MalformedRequest"),
    "NaN": Poison(b'{"args": [NaN], "kwargs": {}}', {}, "MalformedRequest"),
    "a number of 5,000 digits": Poison(b'{"args": [' + b"9" * 5000 + b'], "kwargs": {}}', {}, "MalformedRequest"),
    "empty": Poison(b"", {}, "MalformedRequest"),
    "a list": Poison(b"[]", {}, "MalformedRequest"),
    "null": Poison(b"null", {}, "MalformedRequest"),
    "a text": Poison(b'"ping"', {}, "MalformedRequest"),
    "args missing": Poison(b"{}", {}, "MalformedRequest"),
    "args that are none": Poison(b'{"args": 1, "kwargs": 2}', {}, "IncorrectSignature"),
    "too many args": Poison(b'{"args": [1, 2], "kwargs": {"a": 1}}', {}, "IncorrectSignature"),
    "half a character": Poison(b'{"args": ["\\ud800"], "kwargs": {}}', {}, None, "echo"),
    "an object that wants to be made": Poison(
        b'{"args": [{"__type__": "uuid", "__value__": 5}], "kwargs": {}}', {}, None, "echo"
    ),
    "larger than any of ours": Poison(encoded({"args": ["x" * BIG], "kwargs": {}}), {}, "MalformedRequest", "echo"),
    "unknown method": Poison(CALL, {}, "MethodNotFound", "no_such_method"),
    "no method": Poison(CALL, {}, "MethodNotFound", ""),
    "a method of Python's": Poison(CALL, {}, "MethodNotFound", "__init__"),
    "raw bytes": Poison(CALL, {"content_type": "application/data", "content_encoding": "binary"}, "MalformedRequest"),
    "raw text": Poison(CALL, {"content_type": "application/text"}, "MalformedRequest"),
    "a pickle": Poison(b"cos\nsystem\n", {"content_type": "application/x-python-serialize"}, "MalformedRequest"),
    "unknown encoding": Poison(CALL, {"content_encoding": "rot13"}, "MalformedRequest"),
    "inflated by its encoding (zlib)": Poison(
        zlib.compress(ZEROS, 1), {"content_encoding": "zlib_codec"}, "MalformedRequest"
    ),
    "inflated by its encoding (bz2)": Poison(bz2.compress(ZEROS, 1), {"content_encoding": "bz2"}, "MalformedRequest"),
    "inflated by a header": Poison(gzip.compress(ZEROS, 1), {"headers": {"compression": "application/x-gzip"}}, GONE),
    "unknown compression": Poison(CALL, {"headers": {"compression": "x-unknown"}}, GONE),
    "call stack that is none": Poison(CALL, {"headers": {"nameko.call_id_stack": 5}}, None),
    "call stack of numbers": Poison(CALL, {"headers": {"nameko.call_id_stack": [5]}}, None),
    "call stack without end": Poison(CALL, {"headers": {"nameko.call_id_stack": ["x" * 200] * 500}}, None),
    "request id that is none": Poison(CALL, {"headers": {"nameko.request_id": {"a": [1]}}}, None),
    "request id of many lines": Poison(CALL, {"headers": {"nameko.request_id": "a\nlevel=error \x1b[2J"}}, None),
    "a deadline of its own": Poison(CALL, {"headers": {"nameko.deadline": -1}}, None),
    "headers nested deep": Poison(CALL, {"headers": nested(3000)}, GONE),
    "a header's name is no UTF-8": Poison(CALL, raw_headers(short(b"\xff\xfe") + b"t\x01"), GONE),
    "a header's text is no UTF-8": Poison(CALL, raw_headers(short(b"a") + b"S" + table(b"\xff\xfe")), GONE),
    "a date in a far year": Poison(CALL, raw_headers(short(b"at") + b"T" + b"\x7f" * 8), GONE),
    "content_type that is no UTF-8": Poison(CALL, Raw(0x8000, short(b"\xff\xfe")), GONE),
    "correlation_id that is no UTF-8": Poison(CALL, Raw(0x0400, short(b"\xff\xfe")), GONE),
    "routing key that is no UTF-8": Poison(CALL, {}, "MethodNotFound", b"\xff\xfe"),
    "expired": Poison(CALL, {"expiration": "0"}, GONE),
    "a result that is no JSON": Poison(CALL, {}, "UnserializableValueError", "answer_an_object"),
    "a result too large to send": Poison(CALL, {}, "UnserializableValueError", "answer_too_much"),
    "an error that cannot be told": Poison(CALL, {}, "Unspeakable", "fail_unspeakably"),
}

EVENTS: dict[str, Poison] = {
    "not JSON": Poison(b"{{{", {}, "it is no JSON"),
    "not UTF-8": Poison(b"\xff\xfe", {}, "it is no JSON"),
    "nested too deep": Poison(b"[" * 100_000, {}, "it is no JSON"),
    "a list": Poison(b"[]", {}, "it is no event"),
    "null": Poison(b"null", {}, "it is no event"),
    "empty": Poison(b"", {}, "it is no JSON"),
    "raw bytes": Poison(encoded(event()), {"content_type": "application/data"}, "it is 'application/data'"),
    "a pickle": Poison(b"cos\nsystem\n", {"content_type": "application/x-python-serialize"}, "it is 'application/x-py"),
    "no properties": Poison(encoded(event()), BasicProperties(), "it is None and not JSON"),
    "unknown compression": Poison(encoded(event()), {"headers": {"compression": "x-unknown"}}, "it is compressed"),
    "inflated by its encoding": Poison(
        zlib.compress(ZEROS, 1), {"content_encoding": "zlib_codec"}, "it is encoded as 'zlib_codec'"
    ),
    "larger than any of ours": Poison(encoded(event(text="x" * BIG)), {}, "it has "),
    "call stack that is none": Poison(encoded(event()), {"headers": {"nameko.call_id_stack": 5}}, HEARD),
    "attempts that are no number": Poison(encoded(event(fail=1)), {"headers": {"x-attempt": "many"}}, HEARD),
    "attempts that are nothing": Poison(encoded(event(fail=1)), {"headers": {"x-attempt": None}}, HEARD),
    "attempts below zero": Poison(encoded(event(fail=1)), {"headers": {"x-attempt": -5}}, HEARD),
    "attempts without number": Poison(encoded(event(fail=1)), {"headers": {"x-attempt": 2**40}}, "failed "),
    "copies wanted elsewhere": Poison(encoded(event(fail=1)), {"headers": {"CC": ["rpc-auth_svc"]}}, HEARD),
    "no data": Poison(encoded({"event_id": "no-data"}), {"headers": {"x-attempt": 99}}, "failed 100 times"),
    "headers nested deep": Poison(encoded(event()), {"headers": nested(3000)}, "its properties"),
    "a header's name is no UTF-8": Poison(encoded(event()), raw_headers(short(b"\xff") + b"t\x01"), "a header's name"),
    "a date in a far year": Poison(encoded(event()), raw_headers(short(b"at") + b"T" + b"\x7f" * 8), "its properties"),
    "message_id that is no UTF-8": Poison(encoded(event()), Raw(0x0080, short(b"\xff")), "its properties"),
}


@contextmanager
def deep_recursion() -> Iterator[None]:
    """So that pika writes what nobody else would."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def properties_of(poison: Poison, **good: Any) -> BasicProperties:
    if isinstance(poison.properties, BasicProperties):
        return poison.properties
    as_json = {"content_type": "application/json", "content_encoding": "utf-8"}
    merged = {**as_json, **good, **poison.properties}
    return BasicProperties(**{name: value for name, value in merged.items() if value is not None})


def publish(channel: BlockingChannel, exchange: str, key: str | bytes, poison: Poison, **good: Any) -> None:
    with deep_recursion():
        channel.basic_publish(exchange, key, poison.body, properties_of(poison, **good))  # type: ignore[arg-type]


def request_key(service: str, poison: Poison) -> str | bytes:
    if isinstance(poison.method, bytes):
        return f"{service}.".encode() + poison.method
    return f"{service}.{poison.method}"


def place_for_answers(channel: BlockingChannel) -> tuple[str, str]:
    """A queue of our own, and what to write into `reply_to` so that answers come to it."""
    queue = reply_queue(mine := reply_id("test"))
    channel.queue_declare(queue, exclusive=True)
    channel.queue_bind(queue, RPC_EXCHANGE, mine)
    return queue, mine


def is_empty(channel: BlockingChannel, queue: str) -> bool:
    return channel.queue_declare(queue, passive=True).method.message_count == 0


@pytest.mark.parametrize("name", REQUESTS)
def test_poisoned_request_is_answered_or_gone_and_harms_nobody(name: str, channel: BlockingChannel, tiny: Tiny) -> None:
    pid, poison = tiny.call("pid"), REQUESTS[name]
    if isinstance(poison.properties, dict) and poison.properties.get("reply_to") == "EVENT QUEUE":
        poison = poison._replace(properties={"reply_to": tiny.subscription.queue})
    queue, mine = place_for_answers(channel)
    publish(channel, RPC_EXCHANGE, request_key(tiny.name, poison), poison, reply_to=mine, correlation_id="c1")
    assert tiny.call("pid", timeout=UNHARMED) == pid
    if poison.fate is not None:
        _, properties, answer = next(channel.consume(queue, auto_ack=True, inactivity_timeout=5))
        assert answer is not None, "no answer"
        assert json.loads(answer)["error"]["exc_type"] == poison.fate
        assert properties.correlation_id == "c1"
    poll(lambda: is_empty(channel, f"rpc-{tiny.name}"))
    assert dead_letters.take(channel, tiny.subscription.queue) == []
    assert tiny.call("pid") == pid


@pytest.mark.parametrize("name", EVENTS)
def test_poisoned_event_is_heard_or_parked_with_the_reason_and_harms_nobody(
    name: str, channel: BlockingChannel, tiny: Tiny
) -> None:
    pid, poison = tiny.call("pid"), EVENTS[name]
    publish(channel, f"{tiny.name}.events", EVENT, poison, delivery_mode=2)
    assert tiny.call("pid", timeout=UNHARMED) == pid
    if poison.fate is not None:
        (letter,) = poll(lambda: dead_letters.take(channel, tiny.subscription.queue))
        assert letter.body == poison.body
        assert letter.reason.startswith(poison.fate)
    else:
        heard = json.loads(poison.body)
        poll(lambda: len(tiny.heard(heard["event_id"])) == heard["data"]["fail"] + 1)
    poll(lambda: is_empty(channel, tiny.subscription.queue))
    assert tiny.call("pid") == pid


def processes(stack: LocalStack, service: str) -> set[str]:
    """The process ids of *service*."""
    return {line.split()[0] for line in local_stack.processes_of(stack.data_dir) if f"{service}.service" in line}


def test_all_of_it_at_once_does_not_harm_concert_svc(stack: LocalStack, channel: BlockingChannel) -> None:
    before = processes(stack, "concert_svc")
    for poison in REQUESTS.values():
        publish(channel, RPC_EXCHANGE, request_key("concert_svc", poison), poison, reply_to="nobody")
    began = time.monotonic()
    assert ask(channel, "concert_svc.ping")["error"] is None
    assert time.monotonic() - began < UNHARMED
    assert processes(stack, "concert_svc") == before != set()


def ask(channel: BlockingChannel, routing_key: str) -> Any:
    """The answer to a good request, as it comes over the wire."""
    queue, mine = place_for_answers(channel)
    good = BasicProperties(content_type="application/json", content_encoding="utf-8", reply_to=mine)
    channel.basic_publish(RPC_EXCHANGE, routing_key, CALL, good)
    _, _, body = next(channel.consume(queue, auto_ack=True, inactivity_timeout=5))
    channel.cancel()
    assert body is not None, "no answer"
    return json.loads(body)
