"""Where the relay sends an event, and in what form."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitmq import delays
from rabbitmq.outbox import Envelope, envelope
from rabbitmq.relay import encode, route

NOW = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)


def an_event(not_before: datetime | None = None, request_id: str | None = None) -> Envelope:
    return envelope("concert_svc", "concert_starting", 3, {"concert_id": "c1"}, NOW, not_before, request_id)


def seconds_of_delay(key: str) -> int:
    """What the 28 bits before a routing key add up to."""
    return int("".join(key.split(".")[: delays.LEVELS]), 2)


def test_event_without_a_moment_goes_to_the_exchange_of_its_source() -> None:
    assert route(an_event(), NOW) == ("concert_svc.events", "concert_starting")


@pytest.mark.parametrize("seconds", [-86_400, -0.001, 0, 0.001, 0.999, 0.999999])
def test_event_due_in_less_than_a_second_goes_at_once(seconds: float) -> None:
    assert route(an_event(NOW + timedelta(seconds=seconds)), NOW) == ("concert_svc.events", "concert_starting")


@pytest.mark.parametrize(
    ("seconds", "waits"), [(1, 1), (1.999, 1), (2, 2), (59.5, 59), (86_400 * 60 + 0.9, 86_400 * 60)]
)
def test_delay_is_cut_to_whole_seconds(seconds: float, waits: int) -> None:
    exchange, key = route(an_event(NOW + timedelta(seconds=seconds)), NOW)
    assert exchange == delays.ENTRANCE
    assert seconds_of_delay(key) == waits


def test_delayed_event_leaves_under_the_name_its_queues_are_bound_to() -> None:
    _, key = route(an_event(NOW + timedelta(hours=1)), NOW)
    assert key.split(".")[delays.LEVELS :] == ["concert_svc", "concert_starting"]


@given(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(seconds=delays.LONGEST)))
def test_delayed_event_is_up_to_a_second_early_and_never_late(ahead: timedelta) -> None:
    _, key = route(an_event(NOW + ahead), NOW)
    early = ahead - timedelta(seconds=seconds_of_delay(key))
    assert timedelta(0) <= early < timedelta(seconds=1)


def test_event_beyond_the_longest_delay_waits_the_longest_delay() -> None:
    _, key = route(an_event(NOW + timedelta(days=365 * 100)), NOW)
    assert seconds_of_delay(key) == delays.LONGEST


def test_encoded_event_is_its_envelope_with_the_id_of_what_it_tells_of() -> None:
    event = an_event(not_before=NOW + timedelta(hours=2), request_id="r1")
    assert json.loads(encode(event, "c1")) == {
        "event_id": event["event_id"],
        "source": "concert_svc",
        "type": "concert_starting",
        "seq": 3,
        "occurred_at": "2026-12-01T19:00:00Z",
        "not_before": "2026-12-01T21:00:00Z",
        "request_id": "r1",
        "data": {"concert_id": "c1"},
        "aggregate_id": "c1",
    }


def test_times_inside_the_data_are_encoded_too() -> None:
    event = envelope("booking_svc", "booking_confirmed", 1, {"at": [NOW + timedelta(milliseconds=5)]}, NOW)
    assert json.loads(encode(event, "b1"))["data"] == {"at": ["2026-12-01T19:00:00.005Z"]}
