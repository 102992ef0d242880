"""Calls from one service to another, at a service that calls itself."""

import time

import pytest

from gateway.rpc import RemoteError
from rabbitmq.errors import Unavailable
from tests.integration.rabbitmq.tiny import PATIENCE, Tiny


def test_answer_comes_back(tiny: Tiny) -> None:
    assert tiny.call("call_myself", method="echo", arguments={"value": [1, {"a": "Söhne"}]}) == [1, {"a": "Söhne"}]


def test_fault_behind_the_called_service_is_still_a_fault(tiny: Tiny) -> None:
    with pytest.raises(Unavailable):
        tiny.call("call_myself", method="meet_a_fault", arguments={})


def test_mistake_of_the_called_service_is_a_mistake(tiny: Tiny) -> None:
    with pytest.raises(RemoteError, match="venue"):
        tiny.call("call_myself", method="make_a_mistake", arguments={})


def test_service_that_is_not_there_is_unavailable_at_once(tiny: Tiny) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        tiny.call("call_nobody")
    assert time.monotonic() - began < 1


def test_silent_service_is_unavailable_when_patience_ends(tiny: Tiny) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        tiny.call("call_myself", method="slow_echo", arguments={"value": 1, "seconds": PATIENCE * 3})
    assert PATIENCE <= time.monotonic() - began < PATIENCE * 2.5


def test_late_answers_are_nobodys(tiny: Tiny) -> None:
    """After a call that was given up, the next gets its own answer."""
    with pytest.raises(Unavailable):
        tiny.call("call_myself", method="slow_echo", arguments={"value": "late", "seconds": PATIENCE * 1.2})
    for value in range(20):
        arguments = {"value": value, "seconds": PATIENCE / 20}
        assert tiny.call("call_myself", method="slow_echo", arguments=arguments) == value


def test_request_id_travels_on(tiny: Tiny) -> None:
    arguments = {"method": "what_request", "arguments": {}}
    answer = tiny.client.call(tiny.name, "call_myself", arguments, {"nameko.request_id": "r1"})
    assert answer == "r1"


def test_call_made_for_a_call_gets_no_more_than_what_is_left_of_its_time(tiny: Tiny) -> None:
    assert tiny.call("what_life", timeout=3.0) <= 3.0
    assert tiny.call("call_myself", timeout=0.3, method="what_life", arguments={}) <= 0.3
    assert tiny.call("call_myself", timeout=4.0, method="what_life", arguments={}) <= PATIENCE


def test_calls_that_fail_leave_nothing_behind(tiny: Tiny) -> None:
    before = tiny.call("waiting_for_replies")
    for _ in range(5):
        with pytest.raises(Unavailable):
            tiny.call("call_nobody")
        with pytest.raises(Unavailable):
            tiny.call("call_myself", method="slow_echo", arguments={"value": 1, "seconds": PATIENCE * 1.5})
    assert tiny.call("waiting_for_replies") == before
