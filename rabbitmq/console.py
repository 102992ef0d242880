"""What operators ask and do, in the commands of `python -m rabbitmq` and as `broker` in `make shell`."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from inspect import getdoc, signature
from typing import Any

import pika
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from rabbitmq import broker, dead_letters, delayed, delays, unpublished
from rabbitmq.confirms import ConfirmingConnection
from rabbitmq.dead_letters import DeadLetter, NotTaken
from rabbitmq.delayed import Delayed
from rabbitmq.names import BATCHED, SERVICES, batch_queue, dead_letters_of, rpc_queue
from rabbitmq.redaction import one_line
from rabbitmq.tables import table
from rabbitmq.topology import OUTBOXES, SUBSCRIPTIONS, VERSION


class NoSuchQueue(ValueError):
    """No event queue is called so."""

    def __str__(self) -> str:
        known = "\n".join(f"  {s.service}.{s.method}" for s in SUBSCRIPTIONS)
        return f"No handler and no queue is called {self.args[0]}. There are:\n{known}"


class Console:
    """
    Everything an operator asks of the broker and of the outboxes; each answer is a text.

    A queue is named in full, or by its handler: `mailer_svc.send_confirmation`.
    """

    def __init__(self, amqp_uri: str, mongo_uri: str | None = None) -> None:
        self._amqp_uri = amqp_uri
        self._mongo_uri = mongo_uri

    def queues(self) -> str:
        """How many messages are ready in each queue, and how many consumers take them."""
        names = [*map(rpc_queue, SERVICES), *map(batch_queue, BATCHED), *(s.queue for s in SUBSCRIPTIONS)]
        names += [dead_letters_of(s.queue) for s in SUBSCRIPTIONS]
        names += [delays.level(n) for n in range(delays.LEVELS)]
        with broker.connect(self._amqp_uri) as connection:
            depths = [(name, broker.depth(connection, name)) for name in names]
        shown = [(name, *(there or ("missing", ""))) for name, there in depths]
        empty = sum(1 for name, *there in shown if name.startswith(delays.PREFIX) and there == [0, 0])
        rows = [row for row in shown if not (row[0].startswith(delays.PREFIX) and row[1:] == (0, 0))]
        return table(("QUEUE", "READY", "CONSUMERS"), rows) + f"\n{empty} delay levels are empty."

    def verify(self) -> str:
        """How the broker's exchanges and queues differ from what they should be."""
        return self.verdict(broker.differences(self._amqp_uri))

    @staticmethod
    def verdict(found: Sequence[str], whole: bool = False) -> str:
        """What is to be said of the differences *found* in a broker, or in the whole of its definitions."""
        seen = "Exchanges, queues, bindings and rights" if whole else "Exchanges and queues"
        return "\n".join(found) or f"{seen} are as they should be (topology {VERSION})."

    def dead_letters(self, queue: str | None = None, limit: int = 20) -> str:
        """What was given up: of one queue, or of all; the oldest *limit* of each."""
        rows: list[tuple[object, ...]] = []
        more: list[str] = []
        with broker.connect(self._amqp_uri) as connection:
            for one in [event_queue(queue)] if queue else [s.queue for s in SUBSCRIPTIONS]:
                if (there := broker.depth(connection, dead_letters_of(one))) is None:
                    more.append(f"{dead_letters_of(one)} is missing: apply the topology.")
                    continue
                rows += map(_row, dead_letters.look(connection, one, limit))
                if there[0] > limit:
                    more.append(f"... and {there[0] - limit} more of {handler(one)}")
        if not rows:
            return "\n".join([*more, "No dead letters."])
        heads = ("HANDLER", "ID", "EVENT", "SINCE", "ATTEMPTS", "REASON")
        return "\n".join([table(heads, rows), *more])

    def show(self, queue: str, *ids: str, limit: int = 20) -> str:
        """All of some dead letters of *queue*, but their secrets."""
        with broker.connect(self._amqp_uri) as connection:
            letters = dead_letters.look(connection, event_queue(queue), None if ids else limit)
            return "\n".join(json.dumps(one.shown(), indent=2) for one in letters if not ids or one.id in ids)

    def how_many_dead_letters(self, queue: str) -> int:
        """How many there are now."""
        with broker.connect(self._amqp_uri) as connection:
            return (broker.depth(connection, dead_letters_of(event_queue(queue))) or (0, 0))[0]

    def replaying(self, queue: str, *ids: str) -> Iterator[DeadLetter]:
        """Send dead letters, all of *queue* or only *ids*, back to it; yields each when that is done."""
        with broker.connect(self._amqp_uri) as connection:
            publisher = ConfirmingConnection(broker.parameters(self._amqp_uri))
            try:
                yield from dead_letters.replay(connection, publisher, event_queue(queue), ids)
            finally:
                publisher.close()

    def discarding(self, queue: str, *ids: str) -> Iterator[DeadLetter]:
        """Throw dead letters away, all of *queue* or only *ids*; yields each when that is done."""
        with broker.connect(self._amqp_uri) as connection:
            yield from dead_letters.discard(connection, event_queue(queue), ids)

    def replay(self, queue: str, *ids: str) -> str:
        """Send dead letters, all of *queue* or only *ids*, back to it."""
        return f"{sum(1 for _ in self.replaying(queue, *ids))} sent back"

    def discard(self, queue: str, *ids: str) -> str:
        """Throw dead letters of *queue* away, those with these *ids*."""
        return f"{sum(1 for _ in self.discarding(queue, *ids))} discarded" if ids else "Name the ids to discard."

    def delayed(self) -> str:
        """What waits for its time, by the day it is due (UTC)."""
        return self.counting_delayed(lambda _: None)

    def counting_delayed(self, progress: Callable[[int], object]) -> str:
        """As `delayed`; *progress* hears how many more messages were read."""
        with broker.connect(self._amqp_uri) as connection:
            found = delayed.count(connection, progress=progress)
        rows = map(_day, sorted(found.items(), key=_by_day))
        return table(("DUE", "WHAT", "MESSAGES"), rows) if found else "Nothing waits."

    def how_many_delayed(self) -> int:
        """How many messages wait for their time now."""
        with broker.connect(self._amqp_uri) as connection:
            return delayed.how_many(connection)

    def lag(self) -> str:
        """How many documents have something to tell, and since when the oldest has waited."""
        rows = []
        now = datetime.now(UTC)
        with self._mongo() as mongo:
            for place in OUTBOXES:
                oldest, waiting, refused, parked = now, 0, 0, 0
                for one in unpublished.waiting(mongo[place.database][place.collection]):
                    waiting += 1
                    refused += one.refusal is not None
                    parked += isinstance(one.refusal, dict) and bool(one.refusal.get("parked"))
                    if isinstance(one.occurred_at, datetime):
                        oldest = min(oldest, one.occurred_at)
                seconds = round((now - oldest).total_seconds(), 1)
                rows.append((f"{place.database}.{place.collection}", waiting, f"{seconds} s", refused, parked))
        return table(("OUTBOX", "WAITING", "OLDEST", "REFUSED", "PARKED"), rows)

    def outbox(self, refused_only: bool = False, limit: int = 50) -> str:
        """The first event of each document that has something to tell, and why it was refused, if it was."""
        rows: list[tuple[object, ...]] = []
        hidden = 0
        with self._mongo() as mongo:
            for place in OUTBOXES:
                for one in unpublished.waiting(mongo[place.database][place.collection], refused_only):
                    if len(rows) == limit:
                        hidden += 1
                        continue
                    refusal: Mapping[str, Any] = one.refusal if isinstance(one.refusal, dict) else {}
                    state = "parked" if refusal.get("parked") else "refused" if refusal else "waiting"
                    about = (f"{place.database}.{place.collection}", one.aggregate_id, one.type, one.occurred_at)
                    rows.append((*about, one.behind, state, refusal.get("times", 0), refusal.get("reason", "")))
        heads = ("OUTBOX", "DOCUMENT", "EVENT", "SINCE", "BEHIND", "STATE", "TRIES", "REASON")
        more = [f"... and {hidden} more"] if hidden else []
        return "\n".join([table(heads, rows), *more]) if rows else "Nothing waits."

    def retry(self, document: str | None = None) -> str:
        """Have the relay try what was refused at once: of one document, or of all."""
        with self._mongo() as mongo:
            tried = sum(unpublished.try_again(mongo[p.database][p.collection], document) for p in OUTBOXES)
        return f"{tried} to be tried again"

    @contextmanager
    def _mongo(self) -> Iterator[MongoClient[dict[str, Any]]]:
        if not self._mongo_uri:
            raise RuntimeError("MONGO_URI is not set")
        # Whatever date somebody has stored, the list goes on.
        mongo: MongoClient[dict[str, Any]] = MongoClient(
            self._mongo_uri, tz_aware=True, datetime_conversion="DATETIME_AUTO", timeoutMS=10_000
        )
        with mongo:
            yield mongo


class Shown:
    """A console whose answers are printed, for an interactive shell; `help(broker)` lists what it can be asked."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __repr__(self) -> str:
        asks = [getattr(self._console, name) for name in self.__dir__()]
        rows = [(f"broker.{ask.__name__}{signature(ask)}".split(" ->")[0], getdoc(ask)) for ask in asks]
        return table(("ASK", "FOR"), rows)

    def __getattr__(self, name: str) -> Any:
        if name not in self.__dir__():
            raise AttributeError(name)
        ask = getattr(self._console, name)

        def show(*arguments: Any, **named: Any) -> None:
            try:
                print(ask(*arguments, **named))
            except (ValueError, RuntimeError, NotTaken, pika.exceptions.AMQPError, PyMongoError) as error:
                print(f"{type(error).__name__}: {error}")

        show.__doc__ = ask.__doc__
        return show

    def __dir__(self) -> list[str]:
        return ["queues", "verify", "dead_letters", "show", "replay", "discard", "delayed", "lag", "outbox", "retry"]


def from_environment() -> Console:
    """
    The console of the servers at AMQP_URI and MONGO_URI.

    Raises:
        KeyError: AMQP_URI is not set.
    """
    return Console(os.environ["AMQP_URI"], os.environ.get("MONGO_URI"))


def event_queue(name: str) -> str:
    """
    The queue *name*, or that of the handler *name*.

    Raises:
        NoSuchQueue: there is none.
    """
    for s in SUBSCRIPTIONS:
        if name in (s.queue, f"{s.service}.{s.method}", dead_letters_of(s.queue)):
            return s.queue
    raise NoSuchQueue(name)


def handler(queue: str) -> str:
    """The handler of *queue*."""
    return queue.rpartition("--")[2]


def _row(letter: DeadLetter) -> tuple[object, ...]:
    since = letter.since.isoformat(sep=" ", timespec="seconds") if letter.since else "-"
    return handler(letter.queue), letter.id, one_line(letter.type, 40), since, letter.attempts, letter.reason


def _by_day(item: tuple[Delayed, int]) -> tuple[bool, Any, str]:
    (day, key), _ = item
    return day is not None, day, key


def _day(item: tuple[Delayed, int]) -> tuple[object, ...]:
    (day, key), messages = item
    what = f"retry of {handler(key)}" if key.startswith("evt-") else key
    return day or f"within {2**delayed.LOWEST_LEVEL_LOOKED_AT} s", what, messages
