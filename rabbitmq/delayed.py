"""What waits in the delay levels, and when it is due."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import pika

from rabbitmq import delays, odd_headers
from rabbitmq.broker import depth
from rabbitmq.times import from_wire

#: Below it a level keeps a message for less than a minute: it is counted and not taken out, so that it is not late.
LOWEST_LEVEL_LOOKED_AT = 6


class Delayed(NamedTuple):
    """What leaves the delays as *key* on *day*; None is the next two minutes."""

    day: date | None
    key: str


def due(level: int, routing_key: str, body: bytes, now: datetime) -> datetime:
    """
    When a message in *level* leaves the delays.

    An event says it itself. Of a retry only the latest moment is known: all of this level and the rest of its bits.
    """
    bits = routing_key.split(".")[: delays.LEVELS]
    rest = sum(2**n for n in range(level) if bits[delays.LEVELS - 1 - n : delays.LEVELS - n] == ["1"])
    latest = now + timedelta(seconds=2**level + rest)
    try:
        return min(from_wire(json.loads(body)["not_before"]), latest)
    except (ValueError, KeyError, TypeError, RecursionError):
        return latest


def count(
    connection: pika.BlockingConnection,
    lowest: int = LOWEST_LEVEL_LOOKED_AT,
    progress: Callable[[int], object] = lambda _: None,
) -> Counter[Delayed]:
    """
    How many messages wait, by the day they are due.

    Each level is taken out and given back, during which no message of it moves on. *progress* hears how many more
    were read.
    """
    found: Counter[Delayed] = Counter()
    for level in range(delays.LEVELS - 1, -1, -1):
        if level < lowest:
            waits = depth(connection, delays.level(level))
            found[Delayed(None, "soon")] += waits[0] if waits else 0
            continue
        now = datetime.now(UTC)
        for routing_key, body in _lent(connection, delays.level(level)):
            key = ".".join(routing_key.split(".")[delays.LEVELS :])
            found[Delayed(due(level, routing_key, body, now).date(), key)] += 1
            progress(1)
    return +found


def how_many(connection: pika.BlockingConnection) -> int:
    """How many messages wait now, without looking at any."""
    return sum((depth(connection, delays.level(level)) or (0, 0))[0] for level in range(delays.LEVELS))


def _lent(connection: pika.BlockingConnection, queue: str) -> Iterator[tuple[str, bytes]]:
    channel = connection.channel()
    try:
        while True:
            with odd_headers.tolerated():
                method, _properties, body = channel.basic_get(queue)
            if method is None:
                return
            yield str(method.routing_key), body
    finally:
        if channel.is_open:
            channel.close()
