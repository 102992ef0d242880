"""The gateway's one door to RabbitMQ, at a real broker and a real service."""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from uuid import uuid4

import psutil
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from auth_svc.contract import UserNotFound
from gateway import rpc
from gateway.calls import Call
from gateway.errors import CONTRACT_ERRORS
from gateway.rpc import RemoteError, RpcClient
from rabbitmq.errors import Unavailable
from rabbitmq.names import RPC_EXCHANGE, reply_queue
from tests.integration.rabbitmq.rabbitmqctl import memory_alarm, rabbitmqctl
from tests.integration.rabbitmq.tiny import Tiny
from tests.integration.rabbitmq.tiny_errors import Refused
from tests.local_stack import LocalStack
from tests.polling import poll
from tests.tcp_proxy import TcpProxy, proxy

#: Seconds within which what cannot succeed must have failed.
AT_ONCE = 1.0


@pytest.fixture
def client(stack: LocalStack) -> Iterator[RpcClient]:
    client = RpcClient(stack.amqp_uri, [*CONTRACT_ERRORS, Refused])
    yield client
    client.close()


@pytest.fixture
def behind_cable(cable: TcpProxy) -> Iterator[RpcClient]:
    client = RpcClient(cable.uri, [])
    yield client
    client.close()


@pytest.fixture
def silent(channel: BlockingChannel) -> str:
    return a_silent_service(channel)


def a_silent_service(channel: BlockingChannel) -> str:
    """The name of a service whose queue, of the same name, stands, and nobody looks into it."""
    name = f"silent_{uuid4().hex[:8]}"
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, RPC_EXCHANGE, f"{name}.*")
    return name


def seconds_until_unavailable(call: Callable[[], Any]) -> float:
    """How long *call* takes to be refused as unavailable."""
    began = time.monotonic()
    with pytest.raises(Unavailable):
        call()
    return time.monotonic() - began


def assert_all_fail_at_once(client: RpcClient, calls: Sequence[Call]) -> None:
    began = time.monotonic()
    for call in calls:
        with pytest.raises(Unavailable):
            client.result(call)
    assert time.monotonic() - began < AT_ONCE


def is_answered(client: RpcClient, tiny: Tiny) -> bool:
    try:
        return client.call(tiny.name, "ping", {}, {}) == "pong"
    except Unavailable:
        return False


# --- answers


def test_each_of_32_threads_gets_its_own_answers(client: RpcClient, tiny: Tiny) -> None:
    def ask_50_times(thread: int) -> None:
        for number in range(50):
            asked = f"{thread}:{number}"
            assert client.call(tiny.name, "echo", {"value": asked}, {}) == asked

    with ThreadPoolExecutor(32) as threads:
        for done in [threads.submit(ask_50_times, thread) for thread in range(32)]:
            done.result()
    assert client._pending == {}


def test_fast_answers_overtake_slow_ones(client: RpcClient, tiny: Tiny) -> None:
    slow = client.submit(tiny.name, "slow_echo", {"value": "slow", "seconds": 0.5}, {})
    assert client.call(tiny.name, "echo", {"value": "fast"}, {}) == "fast"
    assert not slow.answer.done()
    assert client.result(slow) == "slow"


def test_calls_that_are_published_together_are_answered_each_but_for_those_that_came_too_late(
    client: RpcClient, tiny: Tiny
) -> None:
    assert client.call(tiny.name, "ping", {}, {}) == "pong"  # the connection stands
    calls = [client.submit(tiny.name, "echo", {"value": n}, {}, 4.0 if n % 3 else 0.0) for n in range(30)]
    for number, call in enumerate(calls):
        if number % 3:
            assert client.result(call) == number
        else:
            with pytest.raises(Unavailable):
                client.result(call)


def test_late_answer_is_nobodys(client: RpcClient, tiny: Tiny) -> None:
    with pytest.raises(Unavailable):
        client.call(tiny.name, "slow_echo", {"value": "late", "seconds": 0.4}, {}, timeout=0.2)
    for value in range(20):
        assert client.call(tiny.name, "slow_echo", {"value": value, "seconds": 0.02}, {}) == value
    assert client._pending == {}


def test_refusal_of_a_contract_arrives_as_itself(client: RpcClient) -> None:
    with pytest.raises(UserNotFound, match="There is no such user"):
        client.call("auth_svc", "get_profile", {"user_id": uuid4().hex}, {})


def test_refusal_keeps_its_arguments(client: RpcClient, tiny: Tiny) -> None:
    with pytest.raises(Refused) as refused:
        client.call(tiny.name, "refuse_twice", {"first": "standing", "second": "Söhne"}, {})
    assert refused.value.args == ("standing", "Söhne")


def test_mistake_of_a_service_is_a_remote_error_that_names_it(client: RpcClient, tiny: Tiny) -> None:
    with pytest.raises(RemoteError, match=rf"{tiny.name}\.make_a_mistake.*KeyError.*venue"):
        client.call(tiny.name, "make_a_mistake", {}, {})


@pytest.mark.parametrize(("method", "arguments"), [("no_such_method", {}), ("echo", {}), ("echo", {"values": 1})])
def test_wrong_call_is_a_remote_error(client: RpcClient, tiny: Tiny, method: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(RemoteError):
        client.call(tiny.name, method, arguments, {})


def test_fault_behind_a_service_is_unavailable(client: RpcClient, tiny: Tiny) -> None:
    with pytest.raises(Unavailable):
        client.call(tiny.name, "meet_a_fault", {}, {})


# --- no answer


def test_unknown_service_is_unavailable_at_once(client: RpcClient) -> None:
    assert seconds_until_unavailable(lambda: client.call("no_such_svc", "ping", {}, {})) < AT_ONCE


def test_silent_service_is_unavailable_at_the_deadline_and_its_request_expires(
    channel: BlockingChannel, client: RpcClient, silent: str
) -> None:
    def waiting() -> int:
        return int(channel.queue_declare(silent, passive=True).method.message_count)

    call = client.submit(silent, "ping", {}, {}, timeout=0.7)
    poll(waiting, seconds=0.6)
    took = 0.7 - (call.deadline - time.monotonic()) + seconds_until_unavailable(lambda: client.result(call))
    assert 0.69 <= took < 1.2
    poll(lambda: waiting() == 0, seconds=1)
    assert client._pending == {}


def test_calls_above_the_limit_are_refused_at_once_and_those_below_are_not(
    client: RpcClient, tiny: Tiny, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "IN_FLIGHT", 4)
    waiting = [client.submit(silent, "ping", {}, {}, timeout=1) for _ in range(4)]
    assert seconds_until_unavailable(lambda: client.call(tiny.name, "ping", {}, {})) < 0.5
    for call in waiting:
        with pytest.raises(Unavailable):
            client.result(call)
    assert client.call(tiny.name, "ping", {}, {}) == "pong"


def test_silent_service_keeps_only_some_callers_waiting_and_those_of_others_not_at_all(
    stack: LocalStack, tiny: Tiny, silent: str
) -> None:
    client = RpcClient(stack.amqp_uri, [], unanswered=4)
    with ThreadPoolExecutor(16) as threads:
        asking = [
            threads.submit(seconds_until_unavailable, lambda: client.call(silent, "ping", {}, {})) for _ in range(16)
        ]
        poll(lambda: sum(one.done() for one in asking) == 12)
        assert all(one.result() < rpc.SILENCE + AT_ONCE for one in asking if one.done())
        assert seconds_until_unavailable(lambda: client.call(silent, "ping", {}, {})) < 0.5
        assert client.call(tiny.name, "ping", {}, {}) == "pong"
        assert sum(not one.done() for one in asking) == 4, "those before them wait until their deadline"
    assert client._pending == {}
    client.close()


def test_method_whose_server_hangs_keeps_only_some_callers_waiting_while_others_of_the_service_are_answered(
    stack: LocalStack, tiny: Tiny
) -> None:
    client = RpcClient(stack.amqp_uri, [], unanswered=4)
    hangs = {"seconds": 3.5}
    with ThreadPoolExecutor(16) as threads:
        asking = [
            threads.submit(seconds_until_unavailable, lambda: client.call(tiny.name, "wait_for_a_server", hangs, {}))
            for _ in range(16)
        ]
        while sum(one.done() for one in asking) < 12:
            assert client.call(tiny.name, "ping", {}, {}) == "pong"
        assert all(one.result() < 3 for one in asking if one.done())
        assert seconds_until_unavailable(lambda: client.call(tiny.name, "wait_for_a_server", hangs, {})) < 0.5
        assert sum(not one.done() for one in asking) == 4
    # It has said so by now, and says so still: no more than some wait.
    with ThreadPoolExecutor(16) as threads:
        took = list(
            threads.map(
                lambda _: seconds_until_unavailable(lambda: client.call(tiny.name, "wait_for_a_server", hangs, {})),
                range(16),
            )
        )
    assert sum(seconds > 3 for seconds in took) == 4
    assert client.call(tiny.name, "wait_for_a_server", {"seconds": 0, "in_vain": False}, {}) is None
    assert f"{tiny.name}.wait_for_a_server" not in client._asked
    client.close()


def test_services_that_are_silent_together_leave_a_quarter_of_the_threads_and_each_is_probed(
    stack: LocalStack, tiny: Tiny, channel: BlockingChannel
) -> None:
    """As when the database of all of them hangs."""
    client = RpcClient(stack.amqp_uri, [], unanswered=8)
    silent = [a_silent_service(channel) for _ in range(4)]

    def wait_in_vain(name: str) -> float:
        return seconds_until_unavailable(lambda: client.call(name, "ping", {}, {}))

    with ThreadPoolExecutor(32) as threads:
        asking = {name: [threads.submit(wait_in_vain, name) for _ in range(8)] for name in silent}
        poll(lambda: sum(one.done() for calls in asking.values() for one in calls) >= 16)
        waiting = [sum(not one.done() for one in calls) for calls in asking.values()]
        assert sum(waiting) <= 12 + rpc.PROBES * 2 and min(waiting) >= rpc.PROBES
        assert client.call(tiny.name, "ping", {}, {}) == "pong"
    client.close()


def test_service_that_is_slow_and_answers_is_not_taken_for_silent(stack: LocalStack, tiny: Tiny) -> None:
    client = RpcClient(stack.amqp_uri, [], unanswered=4)
    with ThreadPoolExecutor(25) as threads:
        answers = threads.map(
            lambda n: client.call(tiny.name, "slow_echo", {"value": n, "seconds": n / 10}, {}), range(25)
        )
        assert list(answers) == list(range(25))
    client.close()


def test_service_that_was_silent_is_called_by_all_once_it_answers(stack: LocalStack, tiny: Tiny) -> None:
    client = RpcClient(stack.amqp_uri, [], unanswered=4)
    with tiny.frozen():
        waiting = [client.submit(tiny.name, "ping", {}, {}) for _ in range(4)]
        poll(lambda: time.monotonic() > client._asked[f"{tiny.name}.ping"] + rpc.SILENCE)
        with pytest.raises(Unavailable):
            client.submit(tiny.name, "ping", {}, {})
    assert [client.result(call) for call in waiting] == ["pong"] * 4
    with ThreadPoolExecutor(25) as threads:
        assert all(threads.map(lambda _: is_answered(client, tiny), range(100)))
    client.close()


# --- a broken connection


def test_cut_fails_pending_calls_at_once_and_the_next_call_works(
    cable: TcpProxy, behind_cable: RpcClient, silent: str, tiny: Tiny
) -> None:
    pending = [behind_cable.submit(silent, "ping", {}, {}) for _ in range(10)]
    assert behind_cable.call(tiny.name, "ping", {}, {}) == "pong"
    cable.cut()
    assert_all_fail_at_once(behind_cable, pending)
    poll(behind_cable.is_connected)
    assert behind_cable.call(tiny.name, "echo", {"value": 1}, {}) == 1
    assert behind_cable._pending == {}


def test_log_says_why_the_connection_went(
    cable: TcpProxy, behind_cable: RpcClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert behind_cable.is_connected()
    cable.cut()
    poll(lambda: any(name == "gateway.rpc" and "StreamLost" in said for name, _, said in caplog.record_tuples))


def test_calls_during_an_outage_fail_fast_and_those_after_it_work(
    cable: TcpProxy, behind_cable: RpcClient, tiny: Tiny
) -> None:
    assert behind_cable.call(tiny.name, "ping", {}, {}) == "pong"
    cable.cut(refusing=True)
    poll(lambda: not behind_cable._connected.is_set())
    assert not behind_cable.is_connected()
    assert seconds_until_unavailable(lambda: behind_cable.call(tiny.name, "ping", {}, {})) < rpc.CONNECTING + 0.8
    cable.mend()
    poll(behind_cable.is_connected)
    assert behind_cable.call(tiny.name, "ping", {}, {}) == "pong"


def test_call_made_in_the_moment_of_a_cut_stops_no_later_one(
    cable: TcpProxy, behind_cable: RpcClient, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was let in by the old connection and handed over when that was gone; nobody had been woken for it."""
    assert behind_cable.call(tiny.name, "ping", {}, {}) == "pong"
    connected = behind_cable._connected

    class CutWhileItIsLookedAt:
        def wait(self, timeout: float) -> bool:
            cable.cut()
            poll(lambda: behind_cable._connection is None)
            return True

        def __getattr__(self, name: str) -> Any:
            return getattr(connected, name)

    monkeypatch.setattr(behind_cable, "_connected", CutWhileItIsLookedAt())
    caught = behind_cable.submit(tiny.name, "ping", {}, {})
    monkeypatch.setattr(behind_cable, "_connected", connected)
    assert behind_cable.result(caught) == "pong"
    assert behind_cable.call(tiny.name, "ping", {}, {}, timeout=AT_ONCE) == "pong"


def test_every_call_is_answered_or_refused_in_time_while_the_cable_is_pulled_again_and_again(
    cable: TcpProxy, behind_cable: RpcClient, tiny: Tiny
) -> None:
    assert behind_cable.call(tiny.name, "ping", {}, {}) == "pong"
    over = threading.Event()
    longest: list[float] = []

    def keep_asking(thread: int) -> int:
        answered = 0
        while not over.is_set():
            began = time.monotonic()
            try:
                assert behind_cable.call(tiny.name, "echo", {"value": thread}, {}, timeout=2) == thread
                answered += 1
            except Unavailable:
                pass
            longest.append(time.monotonic() - began)
        return answered

    with ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(keep_asking, thread) for thread in range(8)]
        for cut in range(1, 4):
            poll(lambda cut=cut: cable.connections > cut - 1 and behind_cable._connected.is_set())  # type: ignore[misc]
            answered_since = len(longest)
            poll(lambda since=answered_since: len(longest) > since + 20)  # type: ignore[misc]
            cable.cut()
        over.set()
        assert all(one.result() > 0 for one in asking)
    assert max(longest) < 2.2
    assert behind_cable._pending == {}
    poll(lambda: is_answered(behind_cable, tiny))


def test_network_that_swallows_everything_fails_each_call_in_time_and_heals_by_itself(
    cable: TcpProxy, behind_cable: RpcClient, tiny: Tiny
) -> None:
    assert behind_cable.call(tiny.name, "ping", {}, {}) == "pong"
    cable.clog()
    with ThreadPoolExecutor(20) as threads:
        took = threads.map(
            lambda _: seconds_until_unavailable(lambda: behind_cable.call(tiny.name, "ping", {}, {}, timeout=1)),
            range(20),
        )
        assert max(took) < 1 + AT_ONCE
    cable.mend()
    poll(lambda: is_answered(behind_cable, tiny), seconds=30)
    assert behind_cable._pending == {}


def test_memory_alarm_fails_calls_at_once_and_when_it_ends_they_are_answered_on_the_same_connection(
    stack: LocalStack, cable: TcpProxy, behind_cable: RpcClient, tiny: Tiny
) -> None:
    assert behind_cable.call(tiny.name, "ping", {}, {}) == "pong"
    with memory_alarm(stack):
        assert seconds_until_unavailable(lambda: behind_cable.call(tiny.name, "ping", {}, {})) < AT_ONCE
        poll(lambda: not behind_cable.is_connected())
        began = time.monotonic()
        while time.monotonic() < began + 1:
            assert seconds_until_unavailable(lambda: behind_cable.call(tiny.name, "ping", {}, {})) < AT_ONCE
    poll(lambda: is_answered(behind_cable, tiny), seconds=10)
    assert cable.connections == 1


def test_calls_are_answered_soon_after_the_connection_has_ended_on_our_side_only(
    cable: TcpProxy, behind_cable: RpcClient, tiny: Tiny
) -> None:
    """For the broker it stands, with its queue, until enough heartbeats are missed."""
    assert behind_cable.call(tiny.name, "ping", {}, {}) == "pong"
    cable.lose(hang_up=True)
    poll(lambda: not behind_cable._connected.is_set())
    poll(lambda: is_answered(behind_cable, tiny), seconds=5)


class Held(NamedTuple):
    """What a process has of its system."""

    threads: int
    descriptors: int
    megabytes: float


def held() -> Held:
    process = psutil.Process()
    gc.collect()
    return Held(threading.active_count(), process.num_fds(), process.memory_info().rss / 1e6)


@pytest.mark.parametrize(
    "times", [30, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(1200)])], ids=str
)
def test_reconnecting_leaves_no_thread_descriptor_memory_or_queue_behind(
    times: int,
    stack: LocalStack,
    tiny: Tiny,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pytest keeps every record, with the error in it, and all that the error refers to.
    monkeypatch.setattr(logging.getLogger("gateway.rpc"), "disabled", True)
    tiny.call("ping")  # its own client is connected
    queues = queues_of_answers(stack)
    with proxy(stack.amqp_uri) as cable:
        client = RpcClient(cable.uri, [])
        for done in range(times):
            assert client.call(tiny.name, "ping", {}, {}, timeout=4) == "pong"
            if done == min(times // 2, 100):  # by then all is loaded that ever will be
                before = held()
            cable.cut()
            poll(lambda: not client._connected.is_set())
            poll(client.is_connected)
        poll(lambda: held().threads <= before.threads and held().descriptors <= before.descriptors)
        after = held()
        with capsys.disabled():
            print(f"\n  {times} reconnects: {before} -> {after}")
        assert after.megabytes - before.megabytes < 8
        assert client._pending == {} and not client._outgoing
        ours = client._thread
        client.close()
        assert ours is not None and not ours.is_alive()
    poll(lambda: queues_of_answers(stack) <= queues)


def queues_of_answers(stack: LocalStack) -> set[str]:
    """Those of every gateway and every client there is."""
    names = rabbitmqctl(stack, "list_queues", "--silent", "name").split()
    return {name for name in names if name.startswith(reply_queue("gateway-"))}


def test_closing_fails_what_is_in_flight(client: RpcClient, silent: str) -> None:
    call = client.submit(silent, "ping", {}, {})
    client.close()
    assert seconds_until_unavailable(lambda: client.result(call)) < AT_ONCE
