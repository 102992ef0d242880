"""When what waits in the delay levels is due."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitmq import delays
from rabbitmq.delayed import due

NOW = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)


def test_event_is_due_when_it_says() -> None:
    body = json.dumps({"not_before": "2026-12-01T19:30:00Z"}).encode()
    assert due(11, delays.enters_as("concert_svc.concert_starting", 2048), body, NOW) == NOW + timedelta(minutes=30)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"not_before": 1}', b'{"not_before": "soon"}', b"[" * 100_000])
def test_what_does_not_say_is_due_when_its_levels_end(body: bytes) -> None:
    assert due(1, delays.enters_as("key", 0b11), body, NOW) == NOW + timedelta(seconds=3)


@given(st.integers(1, delays.LONGEST), st.data())
def test_no_message_is_said_to_be_due_later_than_its_whole_delay_from_now(seconds: int, data: st.DataObject) -> None:
    levels = [n for n in range(delays.LEVELS) if seconds >> n & 1]
    level = data.draw(st.sampled_from(levels))
    latest = due(level, delays.enters_as("a.b", seconds), b"", NOW)
    assert latest == NOW + timedelta(seconds=sum(2**n for n in levels if n <= level))


@given(st.text(max_size=60))
def test_no_routing_key_is_too_odd(key: str) -> None:
    assert due(3, key, b"", NOW) >= NOW
