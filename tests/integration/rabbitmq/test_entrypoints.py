"""Events and requests, good and bad, at a real service on the real broker."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel

from rabbitmq import delays
from rabbitmq.names import RPC_EXCHANGE, reply_id, reply_queue
from tests import local_stack
from tests.integration.rabbitmq import dead_letters
from tests.integration.rabbitmq.dead_letters import Letter
from tests.integration.rabbitmq.tiny import EVENT, RETRY_AFTER, Tiny, encoded, event
from tests.local_stack import LocalStack
from tests.polling import poll

CALL = encoded({"args": [], "kwargs": {}})
#: Seconds until a service that was sent poison must have answered a ping.
UNHARMED = 1.0


def tell(channel: BlockingChannel, tiny: Tiny, body: bytes, **properties: Any) -> None:
    """Publish an event of the tiny service; the broker has it when this returns."""
    as_json = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2}
    channel.basic_publish(f"{tiny.name}.events", EVENT, body, BasicProperties(**{**as_json, **properties}), True)


def letters(channel: BlockingChannel, tiny: Tiny) -> list[Letter]:
    return dead_letters.take(channel, tiny.subscription.queue)


def is_empty(channel: BlockingChannel, queue: str) -> bool:
    return channel.queue_declare(queue, passive=True).method.message_count == 0


# --- calls


def test_call_that_a_process_died_of_goes_to_the_next_which_is_told(tiny: Tiny) -> None:
    assert tiny.call("is_redelivered") is False
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: tiny.call("die_at_first", timeout=30.0))
        tiny.wait_until_dead()
        tiny.start()
        assert answer.result() is False  # the call from there is a call of its own


# --- events


def test_event_is_heard_once_and_leaves_nothing_behind(channel: BlockingChannel, tiny: Tiny) -> None:
    happened = event()
    tell(channel, tiny, encoded(happened))
    poll(lambda: tiny.heard(happened["event_id"]))
    poll(lambda: is_empty(channel, tiny.subscription.queue))
    assert len(tiny.heard(happened["event_id"])) == 1
    assert letters(channel, tiny) == []


def test_event_whose_handler_fails_comes_back_after_its_delay_with_all_it_had(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    happened = event(fail=1, text="Söhne 🎻")
    tell(channel, tiny, encoded(happened), headers={"nameko.request_id": "r1"})
    first, second = poll(lambda: (heard := tiny.heard(happened["event_id"])) and len(heard) == 2 and heard)
    assert first["event"] == second["event"] == happened
    assert first["request_id"] == second["request_id"] == "r1"
    assert RETRY_AFTER[0] - 0.05 <= second["at"] - first["at"] < RETRY_AFTER[0] + 1


def test_delayed_event_whose_handler_fails_comes_back_through_the_same_levels(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    happened = event(fail=1)
    key = delays.enters_as(f"{tiny.name}.{EVENT}", 1)
    as_json = BasicProperties(content_type="application/json", content_encoding="utf-8", delivery_mode=2)
    channel.basic_publish(delays.ENTRANCE, key, encoded(happened), as_json, mandatory=True)
    poll(lambda: len(tiny.heard(happened["event_id"])) == 2)


def test_other_events_are_heard_while_one_waits_for_its_next_attempt(channel: BlockingChannel, tiny: Tiny) -> None:
    failing, good = event(fail=1), event()
    tell(channel, tiny, encoded(failing))
    poll(lambda: tiny.heard(failing["event_id"]))
    tell(channel, tiny, encoded(good))
    (meanwhile,) = poll(lambda: tiny.heard(good["event_id"]))
    _, again = poll(lambda: (heard := tiny.heard(failing["event_id"])) and len(heard) == 2 and heard)
    assert meanwhile["at"] < again["at"]


def test_event_that_fails_every_time_rests_among_the_dead_letters_with_the_reason(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    happened = event(fail=99)
    tell(channel, tiny, encoded(happened), headers={"nameko.request_id": "r1"})
    (letter,) = poll(lambda: letters(channel, tiny), seconds=sum(RETRY_AFTER) + 5)
    assert len(tiny.heard(happened["event_id"])) == 1 + len(RETRY_AFTER)
    assert letter.body == encoded(happened)
    assert (letter.reason, letter.queue) == ("rejected", tiny.subscription.queue)
    assert letter.properties.headers["x-attempt"] == len(RETRY_AFTER)
    assert letter.properties.headers["nameko.request_id"] == "r1"
    assert is_empty(channel, tiny.subscription.queue)


def test_event_and_request_wait_for_a_service_that_is_down_and_expired_requests_are_never_carried_out(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    def ask_to_mark(text: str, milliseconds: int) -> None:
        request = encoded({"args": [], "kwargs": {"text": text}})
        channel.basic_publish(RPC_EXCHANGE, f"{tiny.name}.mark", request, answerable(expiration=str(milliseconds)))

    tiny.kill()
    happened = event()
    tell(channel, tiny, encoded(happened))
    ask_to_mark("too late", 50)
    ask_to_mark("in time", 60_000)
    poll(lambda: channel.queue_declare(f"rpc-{tiny.name}", passive=True).method.message_count == 1)
    tiny.start()
    assert poll(lambda: tiny.call("marks")) == ["in time"]
    assert poll(lambda: tiny.heard(happened["event_id"]))


# --- poison


def answerable(**properties: Any) -> BasicProperties:
    """The properties of a good request, but for *properties*; None leaves one out."""
    good = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "reply_to": "nobody",
        "correlation_id": "c1",
        **properties,
    }
    return BasicProperties(**{name: value for name, value in good.items() if value is not None})


#: The method asked for, the body and the properties of requests that no service of ours would send.
POISONED_REQUESTS: dict[str, tuple[str, bytes, BasicProperties]] = {
    "no reply_to": ("ping", CALL, answerable(reply_to=None)),
    "no content_type": ("ping", CALL, answerable(content_type=None)),
    "no correlation_id": ("ping", CALL, answerable(correlation_id=None)),
    "no properties": ("ping", CALL, BasicProperties()),
    "not JSON": ("ping", b"{{{", answerable()),
    "not UTF-8": ("ping", b"\xff\xfe", answerable()),
    "nested too deep": ("ping", b"[" * 100_000, answerable()),
    "empty": ("ping", b"", answerable()),
    "a list": ("ping", b"[]", answerable()),
    "null": ("ping", b"null", answerable()),
    "args missing": ("ping", b"{}", answerable()),
    "args that are none": ("ping", b'{"args": 1, "kwargs": 2}', answerable()),
    "too many args": ("ping", b'{"args": [1, 2], "kwargs": {"a": 1}}', answerable()),
    "unknown method": ("no_such_method", CALL, answerable()),
    "no method": ("", CALL, answerable()),
    "raw bytes": ("ping", CALL, answerable(content_type="application/data", content_encoding="binary")),
    "raw text": ("ping", CALL, answerable(content_type="application/text")),
    "a pickle": ("ping", b"cos\nsystem\n", answerable(content_type="application/x-python-serialize")),
    "unknown encoding": ("ping", CALL, answerable(content_encoding="rot13")),
    "unknown compression": ("ping", CALL, answerable(headers={"compression": "x-unknown"})),
    "call stack that is none": ("ping", CALL, answerable(headers={"nameko.call_id_stack": 5})),
    "call stack of numbers": ("ping", CALL, answerable(headers={"nameko.call_id_stack": [5]})),
    "expired": ("ping", CALL, answerable(expiration="0")),
}


def processes(stack: LocalStack, service: str) -> set[str]:
    """The process ids of *service*."""
    return {line.split()[0] for line in local_stack.processes_of(stack.data_dir) if f"{service}.service" in line}


@pytest.mark.parametrize("poison", POISONED_REQUESTS)
def test_poisoned_request_harms_no_service(poison: str, channel: BlockingChannel, tiny: Tiny) -> None:
    pid = tiny.call("pid")
    method, body, properties = POISONED_REQUESTS[poison]
    channel.basic_publish(RPC_EXCHANGE, f"{tiny.name}.{method}", body, properties)
    assert tiny.call("pid", timeout=UNHARMED) == pid
    poll(lambda: is_empty(channel, f"rpc-{tiny.name}"))


def test_all_of_it_at_once_does_not_harm_concert_svc(stack: LocalStack, channel: BlockingChannel) -> None:
    before = processes(stack, "concert_svc")
    for method, body, properties in POISONED_REQUESTS.values():
        channel.basic_publish(RPC_EXCHANGE, f"concert_svc.{method}", body, properties)
    began = time.monotonic()
    assert ask(channel, "concert_svc.ping") == {"result": "pong", "error": None}
    assert time.monotonic() - began < UNHARMED
    assert processes(stack, "concert_svc") == before != set()


def place_for_answers(channel: BlockingChannel) -> tuple[str, str]:
    """A queue of our own, and what to write into `reply_to` so that answers come to it."""
    queue = reply_queue(mine := reply_id("test"))
    channel.queue_declare(queue, exclusive=True)
    channel.queue_bind(queue, RPC_EXCHANGE, mine)
    return queue, mine


def ask(channel: BlockingChannel, routing_key: str) -> Any:
    """The answer to a good request, as it comes over the wire."""
    queue, mine = place_for_answers(channel)
    channel.basic_publish(RPC_EXCHANGE, routing_key, CALL, answerable(reply_to=mine))
    _, _, body = next(channel.consume(queue, auto_ack=True, inactivity_timeout=5))
    channel.cancel()
    assert body is not None, "no answer"
    return json.loads(body)


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        ("a list", "MalformedRequest"),
        ("null", "MalformedRequest"),
        ("args missing", "MalformedRequest"),
        ("unknown method", "MethodNotFound"),
        ("too many args", "IncorrectSignature"),
    ],
)
def test_who_sent_a_bad_request_and_can_be_told_is_told(
    poison: str, error: str, channel: BlockingChannel, tiny: Tiny
) -> None:
    method, body, _ = POISONED_REQUESTS[poison]
    queue, mine = place_for_answers(channel)
    channel.basic_publish(RPC_EXCHANGE, f"{tiny.name}.{method}", body, answerable(reply_to=mine))
    _, properties, answer = next(channel.consume(queue, auto_ack=True, inactivity_timeout=5))
    assert answer is not None and error in answer.decode()
    assert properties.correlation_id == "c1"


#: Bodies and properties of events that no relay of ours would publish, and whether they end among the dead letters.
POISONED_EVENTS: dict[str, tuple[bytes, dict[str, Any], bool]] = {
    "not JSON": (b"{{{", {}, True),
    "not UTF-8": (b"\xff\xfe", {}, True),
    "a list": (b"[]", {}, True),
    "null": (b"null", {}, True),
    "raw bytes": (encoded(event()), {"content_type": "application/data"}, True),
    "a pickle": (b"cos\nsystem\n", {"content_type": "application/x-python-serialize"}, True),
    "unknown compression": (encoded(event()), {"headers": {"compression": "x-unknown"}}, True),
    "call stack that is none": (encoded(event()), {"headers": {"nameko.call_id_stack": 5}}, False),
    "attempts that are no number": (encoded(event(fail=1)), {"headers": {"x-attempt": "many"}}, False),
    "attempts that are nothing": (encoded(event(fail=1)), {"headers": {"x-attempt": None}}, False),
    "attempts below zero": (encoded(event(fail=1)), {"headers": {"x-attempt": -5}}, False),
}


@pytest.mark.parametrize("poison", POISONED_EVENTS)
def test_poisoned_event_harms_no_service(poison: str, channel: BlockingChannel, tiny: Tiny) -> None:
    pid = tiny.call("pid")
    body, properties, dies = POISONED_EVENTS[poison]
    tell(channel, tiny, body, **properties)
    assert tiny.call("pid", timeout=UNHARMED) == pid
    if dies:
        (letter,) = poll(lambda: letters(channel, tiny))
        assert (letter.body, letter.reason) == (body, "rejected")
    poll(lambda: is_empty(channel, tiny.subscription.queue))
    assert tiny.call("pid") == pid
