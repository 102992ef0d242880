"""Looking at dead letters, sending them back to their queues, throwing them away."""

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import pika
from pika.adapters.blocking_connection import BlockingChannel

from rabbitmq import odd_headers
from rabbitmq.confirms import Confirmed, ConfirmingConnection, Message, Refused
from rabbitmq.names import ATTEMPT_HEADER, REASON_HEADER, dead_letters_of
from rabbitmq.redaction import redacted

#: What tells of its life so far; it begins anew.
NOTES = (ATTEMPT_HEADER, REASON_HEADER, "x-death", "x-first-death-", "x-last-death-", "x-delivery-count")


#: Messages that are sent back together.
BATCH = 100
#: Seconds after which no more come.
SILENCE = 2


class NotTaken(Exception):
    """The broker does not take a message."""


class DeadLetter(NamedTuple):
    """A message that *queue* has given up. Whatever is wrong with it, each of these has a value."""

    queue: str
    tag: int
    properties: pika.BasicProperties
    body: bytes

    @property
    def id(self) -> str:
        """By what an operator names it: the event's id, or a digest of what has none."""
        given = self.properties.message_id
        return given if isinstance(given, str) and given else hashlib.sha256(self.body).hexdigest()[:32]

    @property
    def headers(self) -> dict[Any, Any]:
        """Its headers."""
        return self.properties.headers or {}

    @property
    def reason(self) -> str:
        """Why it was given up: what the handler's process has written, or else the broker's word."""
        return str(self.headers.get(REASON_HEADER) or self._death.get("reason") or "unknown")

    @property
    def attempts(self) -> int:
        """How often it was tried and sent back."""
        counted = self.headers.get(ATTEMPT_HEADER, 0)
        return counted if isinstance(counted, int) else 0

    @property
    def since(self) -> datetime | None:
        """When it was given up, as far as that is known."""
        if isinstance(said := self.properties.timestamp, int) and said < 2**33:
            return datetime.fromtimestamp(said, UTC)
        died = self._death.get("time")
        return died.replace(tzinfo=UTC) if isinstance(died, datetime) else None

    @property
    def event(self) -> Any:
        """What it says, without its secrets; None if it cannot be read."""
        try:
            return redacted(json.loads(self.body))
        except (ValueError, RecursionError):
            return None

    @property
    def type(self) -> str:
        """What event it is."""
        event = self.event
        return str(event.get("type")) if isinstance(event, dict) else "unreadable"

    def shown(self) -> dict[str, Any]:
        """All of it that a person may see."""
        about = {
            "id": self.id,
            "queue": self.queue,
            "reason": self.reason,
            "attempts": self.attempts,
            "since": None if self.since is None else self.since.isoformat(timespec="seconds"),
            "headers": redacted({str(name): str(value) for name, value in self.headers.items()}),
        }
        event = self.event
        return {**about, "event": event} if event is not None else {**about, "unreadable": f"{len(self.body)} bytes"}

    def as_new(self) -> pika.BasicProperties:
        """Its properties when it is sent again, as if it had never failed."""
        kept = {name: value for name, value in self.headers.items() if not str(name).startswith(NOTES)}
        return pika.BasicProperties(
            content_type=self.properties.content_type,
            content_encoding=self.properties.content_encoding,
            delivery_mode=2,
            message_id=self.properties.message_id,
            headers=kept,
        )

    @property
    def _death(self) -> dict[str, Any]:
        deaths = self.headers.get("x-death")
        return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}


def look(connection: pika.BlockingConnection, queue: str, at_most: int | None = None) -> Iterator[DeadLetter]:
    """What *queue* has given up, oldest first; all of it goes back to where it was."""
    with _lent(connection) as channel:
        # Until there are no more, or enough: the broker may not have counted yet what the last look has given back.
        yield from islice(iter(lambda: _next(channel, queue), None), at_most)


def replay(
    connection: pika.BlockingConnection, publisher: ConfirmingConnection, queue: str, ids: Collection[str] = ()
) -> Iterator[DeadLetter]:
    """
    Send what *queue* has given up, all of it or only *ids*, back to *queue*; yields each when the broker has it.

    A crash in between sends some twice, which handlers expect.

    Raises:
        NotTaken: the broker does not take one; it, and what has not been sent, stays where it was.
    """
    with _lent(connection) as channel:
        letters = _chosen(channel, queue, ids)
        while batch := list(islice(letters, BATCH)):
            outcomes = publisher.publish([Message("", queue, one.body, one.as_new()) for one in batch])
            for letter, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Confirmed):
                    channel.basic_ack(letter.tag)
                    yield letter
            for outcome in outcomes:
                if not isinstance(outcome, Confirmed):
                    raise NotTaken(outcome.reason if isinstance(outcome, Refused) else "the connection broke")


def discard(connection: pika.BlockingConnection, queue: str, ids: Collection[str] = ()) -> Iterator[DeadLetter]:
    """Throw away what *queue* has given up, all of it or only *ids*; yields each."""
    with _lent(connection) as channel:
        for letter in _chosen(channel, queue, ids):
            channel.basic_ack(letter.tag)
            yield letter


def _chosen(channel: BlockingChannel, queue: str, ids: Collection[str]) -> Iterator[DeadLetter]:
    """At most as many as there are now: what fails again meanwhile comes to the end."""
    there = channel.queue_declare(dead_letters_of(queue), passive=True).method.message_count
    channel.basic_qos(prefetch_count=0 if ids else 2 * BATCH)  # those that are not chosen are kept until the end
    pushed = channel.consume(dead_letters_of(queue), inactivity_timeout=SILENCE)
    for method, properties, body in islice(pushed, there):
        if method is None:  # somebody else has taken the rest
            return
        letter = DeadLetter(queue, method.delivery_tag, properties, body)
        if not ids or letter.id in ids:
            yield letter


def _next(channel: BlockingChannel, queue: str) -> DeadLetter | None:
    method, properties, body = channel.basic_get(dead_letters_of(queue))
    return None if method is None else DeadLetter(queue, method.delivery_tag, properties, body)


@contextmanager
def _lent(connection: pika.BlockingConnection) -> Iterator[BlockingChannel]:
    """A channel; what was taken and not acknowledged goes back at its end."""
    with odd_headers.tolerated():
        channel = connection.channel()
        try:
            yield channel
        finally:
            if channel.is_open:
                channel.close()
