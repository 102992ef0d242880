"""A call on its way to a service, in the forms that it is sent in: alone, as Nameko's own clients do, or in a batch."""

import contextlib
import json
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any

from rabbitmq.errors import Unavailable


@dataclass(slots=True)
class Call:
    """A request on its way, and the future its answer (the message body) comes to."""

    service: str
    method: str
    body: bytes
    headers: dict[str, Any]
    deadline: float
    answer: "Future[bytes]" = field(default_factory=Future)
    id: str = field(init=False)  #: names what is asked, so that we know what is answered, however late

    def __post_init__(self) -> None:
        self.id = f"{self.asked}:{uuid.uuid4().hex}"

    @property
    def asked(self) -> str:
        return f"{self.service}.{self.method}"

    @property
    def life(self) -> int:
        """Milliseconds that its caller still waits; 0: no more."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))

    def fail(self) -> None:
        with contextlib.suppress(InvalidStateError):
            self.answer.set_exception(Unavailable(self.service))


def encoded(arguments: dict[str, Any]) -> bytes:
    """The body of a call by keywords."""
    return json.dumps({"args": [], "kwargs": arguments}).encode()


def batch(calls: Iterable[Call]) -> bytes:
    """The body of a message with all of *calls*; `rabbitmq/batches.py` says what it looks like."""
    heads = ((json.dumps({"id": c.id, "expiration": str(c.life), "headers": c.headers}).encode(), c) for c in calls)
    return b'{"batch": [' + b", ".join(head[:-1] + b", " + call.body[1:] for head, call in heads) + b"]}"


def ids_in(batch: bytes) -> list[str]:
    """The ids of the calls in it."""
    return [call["id"] for call in json.loads(batch)["batch"]]
