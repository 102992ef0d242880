"""
Messages that arrive later: 28 quorum queues of fixed TTL, 2^0 to 2^27 seconds, chained by their dead-letter exchanges.

A delay is written as 28 bits before the routing key; a message visits the queues whose bit is 1 and skips the others.
It needs no plugin, survives a restart, and reaches 8.5 years. The scheme is NServiceBus'; the names and the key are
those of kombu (`kombu.transport.native_delayed_delivery`).
"""

from rabbitmq.declarations import Binding, Declarations, Queue

PREFIX = "tickets_celery_delayed"
LEVELS = 28
LONGEST = 2**LEVELS - 1  #: seconds, 8.5 years
#: An operator's look at what waits counts as a delivery. 4.x lets a queue that says nothing deliver 20 times.
LOOKS = 1_000_000


def level(n: int) -> str:
    """The name of the exchange, and of the queue, where a message waits 2^n seconds if its bit says so."""
    return f"{PREFIX}_{n}"


#: Where every delayed message enters.
ENTRANCE = level(LEVELS - 1)
#: Where it leaves; bind a queue to it with `leaves_as(key)`.
EXIT = f"{PREFIX}_delivery"


def enters_as(key: str, seconds: int) -> str:
    """
    The routing key that brings a message published to ENTRANCE out of EXIT, *seconds* later, still before *key*.

    Raises:
        ValueError: *seconds* is less than 1.
    """
    if seconds < 1:
        raise ValueError("a delay is a positive number of seconds")
    return ".".join([*f"{min(seconds, LONGEST):0{LEVELS}b}", key])


def leaves_as(key: str) -> str:
    """The binding pattern under EXIT for messages that entered as *key*."""
    return f"#.{key}"


def declarations() -> Declarations:
    """The levels and the ways between them."""
    downwards = range(LEVELS - 1, -1, -1)
    return Declarations(
        exchanges=(*map(level, downwards), EXIT),
        queues=tuple(Queue(level(n), _arguments(n)) for n in downwards),
        bindings=(
            *(Binding(level(n), level(n), _if_bit(n, 1)) for n in downwards),
            *(Binding(level(n), _below(n), _if_bit(n, 0), to_exchange=True) for n in downwards),
        ),
    )


def _below(n: int) -> str:
    return level(n - 1) if n else EXIT


def _if_bit(n: int, bit: int) -> str:
    return "*." * (LEVELS - 1 - n) + f"{bit}.#"


def _arguments(n: int) -> dict[str, object]:
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": LOOKS,
        "x-message-ttl": 2**n * 1000,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": _below(n),
        "x-dead-letter-strategy": "at-least-once",
    }
