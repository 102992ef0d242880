"""What is left of a caller's time."""

import time
from contextvars import copy_context
from typing import Any

import pytest
from kombu import Message

from rabbitmq import patience
from rabbitmq.message_context import deadline


def left_after(deadline: float | None, at_most: float) -> float:
    def look() -> float:
        patience.begin(deadline)
        return patience.left(at_most)

    return copy_context().run(look)


def test_nobody_waits_unless_it_is_said() -> None:
    assert patience.left(3.0) == 3.0
    assert left_after(None, 3.0) == 3.0


def test_what_is_left_is_no_more_than_asked_for() -> None:
    now = time.monotonic()
    assert left_after(now + 60, 3.0) == 3.0
    assert 0.9 < left_after(now + 1, 3.0) <= 1
    assert left_after(now - 1, 3.0) < 0


def test_deadline_that_has_passed_is_over() -> None:
    assert patience.is_over(time.monotonic() - 0.001)
    assert not patience.is_over(time.monotonic() + 60)
    assert not patience.is_over(None)


def message(expiration: Any) -> Message:
    made = Message(b"", properties={"expiration": expiration})
    made.received_at = 1000.0
    return made


@pytest.mark.parametrize(("expiration", "at"), [("0", 1000.0), ("250", 1000.25), ("4000", 1004.0)])
def test_life_of_a_request_counts_from_its_arrival(expiration: str, at: float) -> None:
    assert deadline(message(expiration)) == at


@pytest.mark.parametrize("expiration", [None, "", "soon", "-1", "1.5", "٣", 5, "9" * 400])
def test_life_that_is_none_does_not_end(expiration: Any) -> None:
    at = deadline(message(expiration))
    assert at is None or at > 1_000_000
