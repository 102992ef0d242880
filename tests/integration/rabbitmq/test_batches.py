"""What crowds ask for, in batches from the gateway's client to a real service: each call is still its own."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel

from gateway import crowds
from gateway.rpc import RpcClient
from rabbitmq import batches
from rabbitmq.errors import Unavailable
from rabbitmq.names import BATCHED, RPC_EXCHANGE, batch_key, batch_queue
from tests.integration.gateway.test_rpc import AT_ONCE, assert_all_fail_at_once, seconds_until_unavailable
from tests.integration.rabbitmq.test_poison import is_empty, place_for_answers
from tests.integration.rabbitmq.tiny import TOGETHER, Tiny, encoded
from tests.integration.rabbitmq.tiny_errors import Refused
from tests.local_stack import LocalStack
from tests.polling import poll
from tests.tcp_proxy import TcpProxy


@pytest.fixture
def client(stack: LocalStack) -> Iterator[RpcClient]:
    client = RpcClient(stack.amqp_uri, [Refused])
    yield client
    client.close()


def ask(client: RpcClient, tiny: Tiny, value: Any, **more: Any) -> list[Any]:
    """What the service knows of the call: value, process, request id, seconds that are left, whether redelivered."""
    headers = {"nameko.request_id": f"request-{value}"}
    return list(client.call(tiny.name, TOGETHER, {"value": value, **more}, headers))


def send_batch(channel: BlockingChannel, tiny: Tiny, body: bytes, reply_to: str) -> None:
    properties = BasicProperties("application/json", "utf-8", reply_to=reply_to, correlation_id="whole")
    channel.basic_publish(RPC_EXCHANGE, batch_key(f"{tiny.name}.{TOGETHER}"), body, properties, mandatory=True)


def a_call(call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "expiration": "30000", "headers": {}, "args": [], "kwargs": arguments}


def messages(channel: BlockingChannel, queue: str, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """What comes within so many seconds of each other, each with its correlation id: an answer's is its call's."""
    for _, properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=seconds):
        if body is None:
            return
        yield str(properties.correlation_id), json.loads(body)


def test_crowd_comes_in_batches_and_each_call_is_answered_by_itself(
    client: RpcClient, channel: BlockingChannel, tiny: Tiny
) -> None:
    overheard = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(overheard, RPC_EXCHANGE, batch_key(f"{tiny.name}.*"))

    def ask_often(thread: int) -> None:
        for number in range(20):
            value = f"{thread}:{number}"
            if number % 5 == 4:
                with pytest.raises(Refused) as refused:
                    ask(client, tiny, value, refused=True)
                assert refused.value.args == (value, "together")
            else:
                said, _, request_id, left, _ = ask(client, tiny, value, seconds=0.01)
                assert (said, request_id) == (value, f"request-{value}") and 0 < left <= 4

    with ThreadPoolExecutor(32) as threads:
        for done in [threads.submit(ask_often, thread) for thread in range(32)]:
            done.result()
    assert client._pending == {}
    poll(lambda: channel.queue_declare(overheard, passive=True).method.message_count)
    together = [len(said["batch"]) for _, said in messages(channel, overheard, 0.5)]
    assert sum(together) == 32 * 20 and max(together) <= crowds.TOGETHER
    assert len(together) < 32 * 20 / 2, "they hardly ever went together"


def test_slow_call_holds_up_neither_its_batch_nor_those_behind_it(channel: BlockingChannel, tiny: Tiny) -> None:
    queue, mine = place_for_answers(channel)
    slow = [f"slow-{number}" for number in range(batches.ROOM)]
    began = time.monotonic()
    for one in slow:
        send_batch(
            channel, tiny, encoded({"batch": [a_call(one, value=1, seconds=3), a_call(f"beside-{one}", value=2)]}), mine
        )
    send_batch(channel, tiny, encoded({"batch": [a_call("behind", value=3)]}), mine)
    came = {}
    for call_id, _ in messages(channel, queue, 5):
        came[call_id] = time.monotonic() - began
        if len(came) == 2 * batches.ROOM + 1:
            break
    assert came.keys() == {*slow, *(f"beside-{one}" for one in slow), "behind"}
    assert min(came[one] for one in slow) > 2.9
    assert max(seconds for one, seconds in came.items() if one not in slow) < 2
    poll(lambda: is_empty(channel, batch_queue(tiny.name)))


def test_process_that_hangs_has_no_more_than_a_few_batches_and_the_next_goes_on(
    client: RpcClient, channel: BlockingChannel, tiny: Tiny
) -> None:
    with tiny.another(), ThreadPoolExecutor(32) as threads:
        queue = batch_queue(tiny.name)
        poll(lambda: channel.queue_declare(queue, passive=True).method.consumer_count == 2, 30)
        first = ask(client, tiny, 0)[1]
        over = threading.Event()

        def keep_asking(thread: int) -> list[float]:
            """The moments at which the other process answered."""
            moments = []
            while not over.is_set():
                try:
                    if ask(client, tiny, thread, seconds=0.01)[1] != first:
                        moments.append(time.monotonic())
                except Unavailable:
                    pass
            return moments

        asking = [threads.submit(keep_asking, thread) for thread in range(32)]
        hung = time.monotonic()
        os.kill(first, signal.SIGSTOP)
        try:
            poll(lambda: time.monotonic() > hung + 2.5)
        finally:
            os.kill(first, signal.SIGCONT)
            over.set()
        moments = sorted(moment - hung for one in asking for moment in one.result())
    in_time = [moment for moment in moments if 0 < moment < 2.5]
    assert in_time and in_time[0] < 1.5
    assert len(in_time) > 50


def test_calls_that_a_process_died_of_go_to_the_next_with_all_that_came_with_them(
    client: RpcClient, tiny: Tiny
) -> None:
    with ThreadPoolExecutor(4) as threads:
        asking = [
            threads.submit(
                lambda n=n: client.call(
                    tiny.name, TOGETHER, {"value": n, "deadly": n == 0, "seconds": 0.05}, {}, timeout=30.0
                )
            )
            for n in range(4)
        ]
        tiny.wait_until_dead()
        tiny.start()
        assert [one.result()[0] for one in asking] == [0, 1, 2, 3]
        assert asking[0].result()[4] is True


def test_service_that_is_asked_to_stop_answers_what_has_no_room_any_more(client: RpcClient, tiny: Tiny) -> None:
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: ask(client, tiny, "done", seconds=1.5))
        poll(lambda: tiny.call("busy"))
        began = time.monotonic()
        poll(lambda: time.monotonic() > began + 2 * batches.TAKES_ROOM)
        tiny.ask_to_stop()
        assert answer.result()[0] == "done"
        tiny.wait_until_dead()
    tiny.start()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"batch": []}',
        b'{"batch": [1]}',
        encoded({"args": [], "kwargs": {"value": 1}}),
        encoded({"batch": [{**a_call("x"), "headers": [1]}]}),
        encoded({"batch": [a_call("x", value=1)] * 3})[:-9],
    ],
)
def test_what_is_no_batch_is_answered_as_such_and_harms_nobody(
    body: bytes, channel: BlockingChannel, client: RpcClient, tiny: Tiny
) -> None:
    pid = ask(client, tiny, 0)[1]
    queue, mine = place_for_answers(channel)
    send_batch(channel, tiny, body, mine)
    call_id, answer = next(messages(channel, queue, 5))
    assert (call_id, answer["error"]["exc_type"]) == ("whole", "MalformedRequest")
    assert ask(client, tiny, 1)[1] == pid
    poll(lambda: is_empty(channel, batch_queue(tiny.name)))


def test_bad_call_of_a_batch_is_answered_as_what_it_is_and_the_others_as_ever(
    channel: BlockingChannel, tiny: Tiny
) -> None:
    queue, mine = place_for_answers(channel)
    without = {name: value for name, value in a_call("without arguments").items() if name != "kwargs"}
    bad = [a_call("wrong", values=1), without, {**a_call("expired", value=1), "expiration": "0"}]
    good = [a_call("good", value=2), {**a_call("odd", value=3), "headers": {"nameko.request_id": {"a": 1}}}]
    send_batch(channel, tiny, encoded({"batch": [*bad, *good]}), mine)
    came = dict(messages(channel, queue, 1.5))
    assert {call_id: answer["error"] and answer["error"]["exc_type"] for call_id, answer in came.items()} == {
        "wrong": "IncorrectSignature",
        "without arguments": "MalformedRequest",
        "good": None,
        "odd": None,
    }
    poll(lambda: is_empty(channel, batch_queue(tiny.name)))


def test_method_that_does_not_come_in_batches_is_not_to_be_had_by_one(channel: BlockingChannel, tiny: Tiny) -> None:
    queue, mine = place_for_answers(channel)
    properties = BasicProperties("application/json", "utf-8", reply_to=mine)
    body = encoded({"batch": [a_call("x", value=1)]})
    channel.basic_publish(RPC_EXCHANGE, batch_key(f"{tiny.name}.echo"), body, properties, mandatory=True)
    call_id, answer = next(messages(channel, queue, 5))
    assert (call_id, answer["error"]["exc_type"]) == ("x", "MethodNotFound")


def test_batch_for_a_service_that_is_not_there_is_unavailable_at_once(
    client: RpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"nobody_{uuid4().hex[:8]}"
    monkeypatch.setitem(BATCHED, nobody, ("ping",))
    assert seconds_until_unavailable(lambda: client.call(nobody, "ping", {}, {})) < AT_ONCE


def test_cut_fails_who_waits_for_company_as_well_and_the_next_call_works(
    cable: TcpProxy, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowds, "PATIENCE", 60.0)
    client = RpcClient(cable.uri, [])
    try:
        assert ask(client, tiny, 0)[0] == 0
        waiting = [client.submit(tiny.name, TOGETHER, {"value": n, "seconds": 9}, {}) for n in range(20)]
        poll(lambda: client._crowds[f"{tiny.name}.{TOGETHER}"].is_waiting())
        cable.cut()
        assert_all_fail_at_once(client, waiting)
        poll(client.is_connected)
        assert ask(client, tiny, 1)[0] == 1
    finally:
        client.close()
