"""A service whose connections carry nothing any more, which nobody has told it."""

from collections.abc import Iterator

import pytest

from rabbitmq.errors import Unavailable
from tests.integration.rabbitmq import tiny as tiny_
from tests.integration.rabbitmq.tiny import STARTING, Tiny
from tests.local_stack import LocalStack
from tests.polling import poll
from tests.tcp_proxy import TcpProxy

#: Seconds between the heartbeats of the service.
HEARTBEAT = 2


@pytest.fixture
def behind_cable(stack: LocalStack, cable: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tiny]:
    monkeypatch.setenv("HEARTBEAT", str(HEARTBEAT))
    with tiny_.running(stack.amqp_uri, cable.uri) as service:
        assert service.call("call_myself", method="ping", arguments={}) == "pong"  # all its connections stand
        yield service


def is_answered(tiny: Tiny) -> bool:
    try:
        return bool(tiny.call("call_myself", method="ping", arguments={}) == "pong")
    except Unavailable:
        return False


def test_service_answers_again_over_new_connections_once_heartbeats_are_missed(
    cable: TcpProxy, behind_cable: Tiny
) -> None:
    cable.lose()
    assert not is_answered(behind_cable)
    poll(lambda: is_answered(behind_cable), seconds=2 * HEARTBEAT + 15)


def test_service_that_is_asked_to_stop_before_it_knows_ends_in_good_time(cable: TcpProxy, behind_cable: Tiny) -> None:
    cable.lose()
    behind_cable.ask_to_stop()
    behind_cable.wait_until_dead()


def test_service_that_is_asked_to_stop_while_it_looks_for_the_broker_ends_in_good_time(
    cable: TcpProxy, behind_cable: Tiny
) -> None:
    before = cable.connections
    cable.cut(refusing=True)
    poll(lambda: cable.refused > 0)
    behind_cable.ask_to_stop()
    behind_cable.wait_until_dead()
    assert cable.connections == before


@pytest.mark.parametrize("with_broker", ["silent", "gone"])
def test_service_that_is_asked_to_stop_while_it_starts_ends_in_good_time(
    cable: TcpProxy, behind_cable: Tiny, with_broker: str
) -> None:
    behind_cable.kill()
    met = cable.connections + cable.refused
    if with_broker == "silent":
        cable.clog()
    else:
        cable.cut(refusing=True)
    behind_cable.begin()
    poll(lambda: cable.connections + cable.refused > met, STARTING)
    behind_cable.ask_to_stop()
    behind_cable.wait_until_dead()
