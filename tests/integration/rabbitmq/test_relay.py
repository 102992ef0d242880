"""The relay between a real outbox and the real broker."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, UnroutableError
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.monitoring import CommandListener, CommandStartedEvent

from rabbitmq import delays, relay
from rabbitmq.database import Document
from rabbitmq.outbox import Envelope, envelope
from rabbitmq.relay import Relay
from rabbitmq.topology import OutboxPlace
from tests.local_stack import LocalStack
from tests.polling import poll


@pytest.fixture
def things(new_database: Callable[[], Database[Document]], monkeypatch: pytest.MonkeyPatch) -> Collection[Document]:
    """A collection with outboxes that only the relay of this test knows."""
    database = new_database()
    monkeypatch.setattr(relay, "OUTBOXES", (OutboxPlace(database.name, "things"),))
    return database["things"]


@pytest.fixture
def source(channel: BlockingChannel) -> Iterator[str]:
    """A service that has an exchange for its events, and nobody who hears them yet."""
    name = f"test_{uuid4().hex[:8]}"
    channel.exchange_declare(f"{name}.events", "topic", durable=True)
    yield name
    channel.connection.channel().exchange_delete(f"{name}.events")


@pytest.fixture
def ours(stack: LocalStack, things: Collection[Document]) -> Relay:
    return Relay(stack.amqp_uri, things.database.client)


def hear(channel: BlockingChannel, source: str, event: str = "#") -> str:
    """Hear events of *source* from now on, in the queue whose name is returned."""
    queue = str(channel.queue_declare("", exclusive=True).method.queue)
    channel.queue_bind(queue, f"{source}.events", event)
    return queue


def next_message(channel: BlockingChannel, queue: str, seconds: float = 5) -> tuple[Any, dict[str, Any]]:
    """Properties and body of the next message."""

    def got() -> tuple[Any, dict[str, Any]] | None:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        return None if method is None else (properties, json.loads(body))

    return poll(got, seconds)


def an_event(source: str, type: str = "thing_happened", seq: int = 1, **more: Any) -> Envelope:
    return envelope(source, type, seq, {"n": seq}, datetime.now(UTC), **more)


def store(things: Collection[Document], *events: Envelope) -> str:
    """A document that has these events to tell."""
    thing_id = uuid4().hex
    things.insert_one({"_id": thing_id, "outbox": list(events)})
    return thing_id


def outbox(things: Collection[Document], thing_id: str) -> list[Envelope]:
    found = things.find_one({"_id": thing_id})
    assert found is not None
    return list(found["outbox"])


def test_events_of_a_document_are_published_in_order_and_its_outbox_is_empty(
    ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = hear(channel, source)
    events = [an_event(source, seq=seq) for seq in range(1, 8)]
    thing_id = store(things, *events)
    assert ours.publish_pending(channel) == 7
    assert [next_message(channel, queue)[1]["event_id"] for _ in events] == [e["event_id"] for e in events]
    assert outbox(things, thing_id) == []
    assert ours.publish_pending(channel) == 0


def test_message_is_kept_by_the_broker_and_names_event_and_request(
    ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = hear(channel, source, "thing_happened")
    event = an_event(source, request_id="r1")
    thing_id = store(things, event)
    ours.publish_pending(channel)
    properties, body = next_message(channel, queue)
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")
    assert (properties.message_id, properties.headers) == (event["event_id"], {"nameko.request_id": "r1"})
    assert (body["aggregate_id"], body["type"], body["data"]) == (thing_id, "thing_happened", {"n": 1})


def test_event_that_nobody_would_hear_is_kept_until_somebody_does(
    ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    event = an_event(source)
    thing_id = store(things, event)
    with pytest.raises(UnroutableError):
        ours.publish_pending(channel)
    assert [kept["event_id"] for kept in outbox(things, thing_id)] == [event["event_id"]]

    queue = hear(channel, source)
    assert ours.publish_pending(channel) == 1
    assert next_message(channel, queue)[1]["event_id"] == event["event_id"]
    assert outbox(things, thing_id) == []


def test_event_is_kept_when_the_broker_lost_its_exchange(
    ours: Relay, things: Collection[Document], channel: BlockingChannel
) -> None:
    thing_id = store(things, an_event(f"gone_{uuid4().hex[:8]}"))
    with pytest.raises(AMQPError):
        ours.publish_pending(channel)
    assert len(outbox(things, thing_id)) == 1


def test_what_was_confirmed_before_a_refusal_is_not_published_again(
    ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    hear(channel, source, "thing_happened")
    heard, unheard = an_event(source), an_event(source, "other_thing_happened", seq=2)
    thing_id = store(things, heard, unheard)
    with pytest.raises(UnroutableError):
        ours.publish_pending(channel)
    assert [kept["event_id"] for kept in outbox(things, thing_id)] == [unheard["event_id"]]


def test_event_stored_while_others_are_published_is_kept_for_the_next_round(
    ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = hear(channel, source)
    first, second = an_event(source), an_event(source, seq=2)
    thing_id = store(things, first)
    publish = Relay._publish

    def meanwhile(self: Relay, *arguments: Any) -> None:
        publish(self, *arguments)
        things.update_one({"_id": thing_id, "late": None}, {"$push": {"outbox": second}, "$set": {"late": True}})

    monkeypatch.setattr(Relay, "_publish", meanwhile)
    ours.publish_pending(channel)
    assert [kept["event_id"] for kept in outbox(things, thing_id)] == [second["event_id"]]
    ours.publish_pending(channel)
    assert [next_message(channel, queue)[1]["seq"] for _ in range(2)] == [1, 2]


def test_delayed_event_arrives_within_the_second_before_its_moment(
    ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = str(channel.queue_declare("", exclusive=True).method.queue)
    channel.queue_bind(queue, delays.EXIT, delays.leaves_as(f"{source}.thing_happened"))
    due = datetime.now(UTC) + timedelta(seconds=2.5)
    store(things, an_event(source, not_before=due))
    ours.publish_pending(channel)
    next_message(channel, queue)
    assert timedelta(0) < due - datetime.now(UTC) <= timedelta(seconds=1)


def test_running_relay_waits_out_a_fault_publishes_and_stops_at_once(
    ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    stop = threading.Event()
    running = threading.Thread(target=ours.run, args=[stop.is_set])
    running.start()
    try:
        event = an_event(source)
        thing_id = store(things, event)  # nobody hears it: the broker refuses
        queue = hear(channel, source)
        assert next_message(channel, queue)[1]["event_id"] == event["event_id"]
        poll(lambda: outbox(things, thing_id) == [])
        store(things, an_event(source, seq=2))
        began = time.monotonic()
        assert next_message(channel, queue)[1]["seq"] == 2
        assert time.monotonic() - began < 1
    finally:
        stop.set()
        running.join(2)
    assert not running.is_alive()


def test_relay_tells_only_what_a_majority_has_on_disk(
    stack: LocalStack, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    """Otherwise an event may tell of a booking that a crash of the database undoes."""
    asked: list[dict[str, Any]] = []

    class Listener(CommandListener):
        def started(self, event: CommandStartedEvent) -> None:
            asked.append(dict(event.command))

        def succeeded(self, event: Any) -> None: ...

        def failed(self, event: Any) -> None: ...

    hear(channel, source)
    store(things, an_event(source))
    with MongoClient[Document](stack.mongo_uri, tz_aware=True, event_listeners=[Listener()]) as client:
        assert Relay(stack.amqp_uri, client).publish_pending(channel) == 1
    finds = [command for command in asked if "find" in command]
    assert finds and all(command["readConcern"]["level"] == "majority" for command in finds)
