"""The routing keys of the delay levels."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport import native_delayed_delivery

from rabbitmq import delays
from rabbitmq.event_handler import RETRY_AFTER
from rabbitmq.topology import SUBSCRIPTIONS

#: AMQP 0-9-1: a routing key is a short string.
LONGEST_KEY = 255


def test_longest_delay_is_what_28_levels_add_up_to() -> None:
    assert sum(2**level for level in range(delays.LEVELS)) == delays.LONGEST == 2**28 - 1


@given(st.integers(1, delays.LONGEST))
def test_delay_is_written_as_28_bits_before_the_key(seconds: int) -> None:
    *bits, key = delays.enters_as("key", seconds).split(".")
    assert (len(bits), int("".join(bits), 2), key) == (28, seconds, "key")


@given(st.integers(delays.LONGEST, 2**70))
def test_longer_delays_are_capped_and_not_wrapped(seconds: int) -> None:
    assert delays.enters_as("key", seconds) == delays.enters_as("key", delays.LONGEST)


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_delay_is_a_mistake(seconds: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        delays.enters_as("key", seconds)


@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda s: s.queue)
def test_every_key_we_use_fits_the_protocol(subscription: object) -> None:
    queue, event = subscription.queue, f"{subscription.source}.{subscription.event}"  # type: ignore[attr-defined]
    for key in (queue, event):
        assert all(len(delays.enters_as(key, seconds)) <= LONGEST_KEY for seconds in (*RETRY_AFTER, delays.LONGEST))


@given(st.integers(1, delays.LONGEST))
def test_key_is_the_one_that_kombu_calculates(seconds: int) -> None:
    assert delays.enters_as("key", seconds) == native_delayed_delivery.calculate_routing_key(seconds, "key")


def test_levels_have_the_names_that_kombu_gives_them() -> None:
    assert native_delayed_delivery.level_name(native_delayed_delivery.MAX_LEVEL, "tickets") == delays.ENTRANCE


@given(st.integers(1, delays.LONGEST), st.sampled_from(["a", "booking_svc.booking_confirmed"]))
def test_message_visits_the_levels_whose_bit_is_set_and_leaves_under_its_key(seconds: int, key: str) -> None:
    """As a topic exchange matches: `*` is one word, `#` any number of them."""
    bindings, ttl = delays.declarations().bindings, {q.name: q.arguments for q in delays.declarations().queues}
    routing_key, place, waited = delays.enters_as(key, seconds), delays.ENTRANCE, 0
    while place != delays.EXIT:
        (way,) = [b for b in bindings if b.source == place and matches(b.key, routing_key)]
        if way.to_exchange:
            place = way.destination
        else:
            waited += ttl[way.destination]["x-message-ttl"] // 1000
            place = ttl[way.destination]["x-dead-letter-exchange"]
    assert waited == seconds


def matches(pattern: str, key: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]+").replace(r"\.\#", r"(\..*)?"), key))
