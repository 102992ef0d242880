"""The delay levels on the real broker."""

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel

from rabbitmq import delays

#: Seconds the broker may take on top of a delay.
SLACK = 0.9


@pytest.fixture
def key(channel: BlockingChannel) -> Iterator[str]:
    """A routing key of our own that leads from the delay levels to an exclusive queue of the same name."""
    name = f"test-{uuid4().hex[:8]}"
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, delays.EXIT, delays.leaves_as(name))
    yield name
    channel.queue_unbind(name, delays.EXIT, delays.leaves_as(name))


def test_messages_arrive_after_their_delay_whatever_was_sent_before(channel: BlockingChannel, key: str) -> None:
    sent: dict[bytes, float] = {}
    for seconds in (3, 2, 1):  # 3 = 1 + 2: two levels; the longest is sent first and holds nobody up
        sent[b"%d" % seconds] = time.monotonic()
        channel.basic_publish(
            delays.ENTRANCE, delays.enters_as(key, seconds), b"%d" % seconds, BasicProperties(delivery_mode=2), True
        )
    took: dict[bytes, float] = {}
    for _, _, body in channel.consume(key, auto_ack=True, inactivity_timeout=5):
        assert body is not None, f"only {took} arrived"
        took[body] = time.monotonic() - sent[body]
        if len(took) == len(sent):
            break
    assert list(took) == [b"1", b"2", b"3"]
    for body, seconds in took.items():
        assert int(body) <= seconds + 0.01 and seconds < int(body) + SLACK
