"""
Messages that arrive later: 28 quorum queues of fixed TTL, 2^0 to 2^27 seconds, chained by their dead-letter exchanges.

A delay is written as 28 bits before the routing key; a message visits the queues whose bit is 1 and skips the others.
It needs no plugin, survives a restart, and reaches 8.5 years. The scheme is NServiceBus'; the declaration and
the key are kombu's (`kombu.transport.native_delayed_delivery`).
"""

from kombu import Connection
from kombu.transport.native_delayed_delivery import (
    MAX_LEVEL,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)

PREFIX = "concerts"
#: Where every delayed message enters.
ENTRANCE = level_name(MAX_LEVEL, PREFIX)
#: Where it leaves; bind a queue to it with `leaves_as(key)`.
EXIT = f"{PREFIX}_celery_delayed_delivery"
LEVELS = MAX_LEVEL + 1
LONGEST = 2**LEVELS - 1  #: seconds, 8.5 years


def declare(connection: Connection) -> None:
    """Declare the 28 levels; repeating it changes nothing."""
    declare_native_delayed_delivery_exchanges_and_queues(connection, queue_type="quorum", prefix=PREFIX)


def enters_as(key: str, seconds: int) -> str:
    """The routing key that brings a message published to ENTRANCE out of EXIT as *key*, *seconds* (>= 1) later."""
    return str(calculate_routing_key(min(seconds, LONGEST), key))


def leaves_as(key: str) -> str:
    """The binding pattern under EXIT for messages that entered as *key*."""
    return f"#.{key}"
