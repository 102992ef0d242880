"""The words in which the topology is written down."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class Queue(NamedTuple):
    """A durable queue."""

    name: str
    arguments: dict[str, Any]


class Binding(NamedTuple):
    """What enters the exchange *source* under *key* goes on to the queue, or the exchange, *destination*."""

    source: str
    destination: str
    key: str
    to_exchange: bool = False


class Declarations(NamedTuple):
    """Exchanges (by name: all are durable topic exchanges), queues and bindings, in an order that can be declared."""

    exchanges: tuple[str, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


def together(parts: Iterable[Declarations]) -> Declarations:
    """All of *parts* in one."""
    exchanges, queues, bindings = zip(*parts, strict=True)
    return Declarations(sum(exchanges, ()), sum(queues, ()), sum(bindings, ()))
