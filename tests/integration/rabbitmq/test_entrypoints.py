"""Events and requests, good and bad, at a real service on the real broker."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel

from gateway.rpc import RemoteError
from rabbitmq import delays
from rabbitmq.errors import Unavailable
from rabbitmq.names import RPC_EXCHANGE, rpc_queue
from tests.integration.rabbitmq import dead_letters
from tests.integration.rabbitmq.dead_letters import Letter
from tests.integration.rabbitmq.tiny import EVENT, RETRY_AFTER, WORKERS, Metrics, Tiny, encoded, event
from tests.polling import poll


def tell(channel: BlockingChannel, tiny: Tiny, body: bytes, **properties: Any) -> None:
    """Publish an event of the tiny service; the broker has it when this returns."""
    as_json = {"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2}
    channel.basic_publish(f"{tiny.name}.events", EVENT, body, BasicProperties(**{**as_json, **properties}), True)


def asked_for(milliseconds: int) -> BasicProperties:
    """The properties of a request that nobody waits for, which expires after so long."""
    return BasicProperties(
        content_type="application/json", content_encoding="utf-8", reply_to="nobody", expiration=str(milliseconds)
    )


def letters(channel: BlockingChannel, tiny: Tiny) -> list[Letter]:
    return dead_letters.take(channel, tiny.subscription.queue)


def is_empty(channel: BlockingChannel, queue: str) -> bool:
    return channel.queue_declare(queue, passive=True).method.message_count == 0


def consumers(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.consumer_count)


# --- calls


def test_call_that_a_process_died_of_goes_to_the_next_which_is_told(tiny: Tiny) -> None:
    assert tiny.call("is_redelivered") is False
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: tiny.call("die_at_first", timeout=30.0))
        tiny.wait_until_dead()
        tiny.start()
        assert answer.result() is False  # the call from there is a call of its own


def test_of_two_processes_one_gets_what_it_can_take_and_the_other_the_rest(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    with tiny.another(), ThreadPoolExecutor(2 * WORKERS) as pool:

        def pid(seconds: float) -> int | None:
            try:
                return int(tiny.call("pid", seconds=seconds))
            except Unavailable:  # a busy machine let it wait for too long
                return None

        poll(lambda: consumers(channel, rpc_queue(tiny.name)) == 2, seconds=30)
        assert len({tiny.call("pid") for _ in range(10)}) == 1
        poll(lambda: len({*pool.map(pid, [0.5] * 2 * WORKERS)} - {None}) == 2, seconds=30)


# --- events


def test_event_is_heard_once_and_leaves_nothing_behind(channel: BlockingChannel, tiny: Tiny) -> None:
    happened = event()
    tell(channel, tiny, encoded(happened))
    poll(lambda: tiny.heard(happened["event_id"]))
    poll(lambda: is_empty(channel, tiny.subscription.queue))
    assert len(tiny.heard(happened["event_id"])) == 1
    assert letters(channel, tiny) == []


def test_event_that_a_process_died_of_is_heard_by_the_next(channel: BlockingChannel, tiny: Tiny) -> None:
    assert is_heard_after_a_kill(channel, tiny)


def test_acknowledged_before_its_effect_an_event_would_be_lost_with_the_process(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    """The negative control of the test before."""
    tiny.kill()
    tiny.start(acks_first=True)
    try:
        assert not is_heard_after_a_kill(channel, tiny)
    finally:
        tiny.kill()
        tiny.start()


def is_heard_after_a_kill(channel: BlockingChannel, tiny: Tiny) -> bool:
    """Whether an event comes to the next process, whose handler was at work when the last one died."""
    happened, later = event(seconds=60), event()
    tell(channel, tiny, encoded(happened))
    poll(lambda: tiny.heard(happened["event_id"]))
    tiny.kill()
    tell(channel, tiny, encoded(later))
    tiny.start()
    poll(lambda: tiny.heard(later["event_id"]), seconds=20)  # what comes back to a queue goes before it
    return bool(tiny.heard(happened["event_id"]))


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
    assert letter.reason == f"failed 3 times, at last with TroubleWithEvent: {happened['event_id']}"
    assert letter.properties.headers["x-attempt"] == len(RETRY_AFTER)
    assert letter.properties.headers["nameko.request_id"] == "r1"
    assert time.time() - 60 < letter.properties.timestamp <= time.time()
    assert is_empty(channel, tiny.subscription.queue)


def test_copy_of_what_was_sent_to_somebody_else_is_neither_heard_nor_kept(channel: BlockingChannel, tiny: Tiny) -> None:
    """Whoever may send anything could have a copy of it come here; replayed by an operator it would be an event."""
    forged, good = event(), event()
    copied = BasicProperties(content_type="application/json", headers={"CC": [EVENT]})
    channel.basic_publish(f"{tiny.name}.events", "something_else", encoded(forged), copied, mandatory=True)
    tell(channel, tiny, encoded(good))
    poll(lambda: tiny.heard(good["event_id"]))
    assert tiny.heard(forged["event_id"]) == []
    assert is_empty(channel, tiny.subscription.queue) and letters(channel, tiny) == []


def test_event_and_request_wait_for_a_service_that_is_down_and_expired_requests_are_never_carried_out(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    def ask_to_mark(text: str, milliseconds: int) -> None:
        request = encoded({"args": [], "kwargs": {"text": text}})
        channel.basic_publish(RPC_EXCHANGE, f"{tiny.name}.mark", request, asked_for(milliseconds))

    tiny.kill()
    happened = event()
    tell(channel, tiny, encoded(happened))
    ask_to_mark("too late", 50)
    ask_to_mark("in time", 60_000)
    poll(lambda: channel.queue_declare(f"rpc-{tiny.name}", passive=True).method.message_count == 1)
    tiny.start()
    assert poll(lambda: tiny.call("marks")) == ["in time"]
    assert poll(lambda: tiny.heard(happened["event_id"]))


# --- deadlines


def test_request_whose_caller_left_while_it_waited_for_a_worker_is_not_carried_out(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    slow = [event(seconds=1) for _ in range(WORKERS)]
    for one in slow:
        tell(channel, tiny, encoded(one))
    poll(lambda: is_empty(channel, tiny.subscription.queue))  # all of them are with the service
    for text, milliseconds in (("too late", 200), ("in time", 10_000)):
        request = encoded({"args": [], "kwargs": {"text": text}})
        channel.basic_publish(RPC_EXCHANGE, f"{tiny.name}.mark", request, asked_for(milliseconds))
    poll(lambda: "in time" in tiny.call("marks"), seconds=10)
    assert "too late" not in tiny.call("marks")
    poll(lambda: all(tiny.heard(one["event_id"]) for one in slow))


# --- what is counted


def test_event_that_was_handled_before_is_counted_as_repeated_and_not_tried_again(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    before = tiny.metrics()
    happened = event(again=True)
    tell(channel, tiny, encoded(happened))
    poll(lambda: counted(tiny, before, "events_total", outcome="repeated") == 1)
    assert is_empty(channel, tiny.subscription.queue)
    assert len(tiny.heard(happened["event_id"])) == 1


def test_calls_and_events_are_counted_by_what_became_of_them(channel: BlockingChannel, tiny: Tiny) -> None:
    before = tiny.metrics()
    tiny.call("echo", value=1)
    for method in ("make_a_mistake", "no_such_method", "no_other_method"):
        with pytest.raises(RemoteError):
            tiny.call(method)
    with pytest.raises(RemoteError):
        tiny.call("refuse_twice", first="a", second="b")
    with pytest.raises(Unavailable):
        tiny.call("meet_a_fault")
    tell(channel, tiny, encoded(event(fail=1)))
    tell(channel, tiny, b"{{{")
    poll(lambda: counted(tiny, before, "events_total", outcome="handled") == 1)
    outcomes = {
        ("echo", "answered"): 1,
        ("make_a_mistake", "failed"): 1,
        ("unknown", "malformed"): 2,
        ("refuse_twice", "refused"): 1,
        ("meet_a_fault", "unavailable"): 1,
    }
    for (method, outcome), times in outcomes.items():
        assert counted(tiny, before, "rpc_calls_total", method=method, outcome=outcome) == times
    assert counted(tiny, before, "events_total", outcome="retried") == 1
    assert counted(tiny, before, "events_total", outcome="parked") == 1
    assert counted(tiny, before, "rpc_call_seconds_count", method="echo") == 1
    letters(channel, tiny)


def counted(tiny: Tiny, before: Metrics, name: str, **labels: str) -> float:
    """How much the metric has grown since *before*."""
    return sum(
        value - before.get(sample, 0)
        for sample, value in tiny.metrics().items()
        if sample[0] == name and labels.items() <= dict(sample[1]).items()
    )


# --- an orderly end


@pytest.mark.parametrize("calls_others", [True, False])
def test_service_that_is_asked_to_stop_finishes_what_it_has_begun_and_leaves_the_rest_to_others(
    channel: BlockingChannel, tiny: Tiny, calls_others: bool
) -> None:
    tiny.kill()
    tiny.start(calls_others)
    happened, later = event(seconds=1.5), event()
    tell(channel, tiny, encoded(happened))
    poll(lambda: tiny.heard(happened["event_id"]))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: tiny.call("slow_echo", value="done", seconds=1.5))
        poll(lambda: tiny.call("busy") >= 2)
        began = time.monotonic()
        tiny.ask_to_stop()
        assert answer.result() == "done"
        tiny.wait_until_dead()
    assert time.monotonic() - began < 4
    tell(channel, tiny, encoded(later))
    tiny.start()
    poll(lambda: tiny.heard(later["event_id"]))
    assert tiny.heard(happened["event_id"]) == [], "what was done is done again"
    assert is_empty(channel, f"rpc-{tiny.name}")
