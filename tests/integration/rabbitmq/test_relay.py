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
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import NetworkTimeout
from pymongo.monitoring import CommandListener, CommandStartedEvent

from rabbitmq import census, delays, relay, unpublished
from rabbitmq.confirms import ConfirmingConnection
from rabbitmq.database import Document
from rabbitmq.lease import Lease
from rabbitmq.outbox import REFUSAL, Envelope, envelope
from rabbitmq.relay import PARKED_AFTER, Relay
from rabbitmq.topology import OutboxPlace
from rabbitmq.unpublished import try_again, waiting
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
    return Relay(stack.amqp_uri, things.database.client, Lease(things.database["leases"], "relay"))


@pytest.fixture
def broker(ours: Relay) -> Iterator[ConfirmingConnection]:
    """The relay's connection."""
    connection = ConfirmingConnection(ours.parameters)
    yield connection
    connection.close()


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


def refusal(things: Collection[Document], thing_id: str) -> Document | None:
    found = things.find_one({"_id": thing_id})
    assert found is not None
    return found.get(REFUSAL)


def try_now(things: Collection[Document]) -> None:
    """What was refused is due."""
    assert try_again(things) > 0


def test_events_of_a_document_are_published_in_order_and_its_outbox_is_empty(
    ours: Relay, broker: ConfirmingConnection, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = hear(channel, source)
    events = [an_event(source, seq=seq) for seq in range(1, 8)]
    thing_id = store(things, *events)
    assert [ours.publish_pending(broker) for _ in events] == [1] * 7
    assert [next_message(channel, queue)[1]["event_id"] for _ in events] == [e["event_id"] for e in events]
    assert outbox(things, thing_id) == []
    assert ours.publish_pending(broker) == 0


def test_message_is_kept_by_the_broker_and_names_event_and_request(
    ours: Relay, broker: ConfirmingConnection, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = hear(channel, source, "thing_happened")
    event = an_event(source, request_id="r1")
    thing_id = store(things, event)
    ours.publish_pending(broker)
    properties, body = next_message(channel, queue)
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")
    assert (properties.message_id, properties.headers) == (event["event_id"], {"nameko.request_id": "r1"})
    assert (body["aggregate_id"], body["type"], body["data"]) == (thing_id, "thing_happened", {"n": 1})


def test_what_waits_is_counted(things: Collection[Document], source: str) -> None:
    now = datetime.now(UTC)
    assert unpublished.survey(things, now) == (0, 0, 0.0)
    old = an_event(source)
    old["occurred_at"] = now - timedelta(seconds=90)
    store(things, an_event(source))
    parked = store(things, old, an_event(source))
    things.update_one({"_id": parked}, {"$set": {REFUSAL: {"parked": True}}})
    things.insert_one({"_id": "broken", "outbox": {"event_id": 1}})
    found = unpublished.survey(things, now)
    assert (found.pending, found.parked) == (3, 1)
    assert found.oldest_seconds == pytest.approx(90, abs=1)


# --- what the broker refuses


def test_event_that_nobody_would_hear_is_kept_until_somebody_does(
    ours: Relay, broker: ConfirmingConnection, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    event = an_event(source)
    thing_id = store(things, event)
    assert ours.publish_pending(broker) == 0
    assert [kept["event_id"] for kept in outbox(things, thing_id)] == [event["event_id"]]
    assert (refusal(things, thing_id) or {})["reason"] == "NO_ROUTE: nobody hears thing_happened"

    queue = hear(channel, source)
    try_now(things)
    assert ours.publish_pending(broker) == 1
    assert next_message(channel, queue)[1]["event_id"] == event["event_id"]
    assert outbox(things, thing_id) == []
    assert refusal(things, thing_id) is None


def test_refused_event_is_tried_ever_later_and_then_parked_with_an_error_line(
    ours: Relay,
    broker: ConfirmingConnection,
    things: Collection[Document],
    source: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    thing_id = store(things, an_event(source), an_event(source, seq=2))
    pauses = []
    for times in range(1, PARKED_AFTER + 1):
        began = datetime.now(UTC)
        ours.publish_pending(broker)
        assert ours.publish_pending(broker) == 0, "it is not tried before its time"
        found = refusal(things, thing_id)
        assert found and (found["times"], found["parked"]) == (times, times == PARKED_AFTER)
        pauses.append((found["next_try"] - began).total_seconds())
        try_now(things)
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 64, relay.RAREST], abs=0.9)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1 and thing_id in errors[0] and "NO_ROUTE" in errors[0]
    (shown,) = waiting(things, refused_only=True)
    assert (shown.aggregate_id, shown.type, shown.behind) == (thing_id, "thing_happened", 1)
    assert shown.refusal and shown.refusal["parked"]


@pytest.mark.parametrize("trouble", ["unroutable", "no exchange", "too large", "key too long"])
def test_refused_event_holds_up_nothing_but_its_own_document(
    trouble: str,
    ours: Relay,
    broker: ConfirmingConnection,
    things: Collection[Document],
    channel: BlockingChannel,
    source: str,
) -> None:
    bad = {
        "unroutable": an_event(source, "unheard"),
        "no exchange": an_event(f"gone_{uuid4().hex[:8]}"),
        "too large": an_event(source),
        "key too long": an_event(source, "x" * 300),
    }[trouble]
    if trouble == "too large":
        bad["data"] = {"text": "ü" * (4 * 1024 * 1024)}  # 8 MB in MongoDB, 24 in JSON
    queue = hear(channel, source, "thing_happened")
    before, after = an_event(source), an_event(source)
    good = [store(things, an_event(source)) for _ in range(5)]
    held_up = store(things, before, bad, after)
    good += [store(things, an_event(source)) for _ in range(5)]
    assert ours.publish_pending(broker) == 11
    ours.publish_pending(broker)
    for _ in range(11):
        next_message(channel, queue)
    assert [kept["event_id"] for kept in outbox(things, held_up)] == [bad["event_id"], after["event_id"]]
    assert refusal(things, held_up)
    assert all(outbox(things, thing_id) == [] for thing_id in good)


BROKEN: dict[str, Any] = {
    "no list": {"event_id": "e1"},
    "no envelope": [{"event_id": "e1"}],
    "no text": [{"event_id": 5, "source": 6, "type": None, "data": 1}],
    "a moment without a zone": [{"event_id": "e1", "source": "s", "type": "t", "not_before": "tomorrow"}],
    "a value that is no JSON": [{"event_id": "e1", "source": "s", "type": "t", "data": b"bytes"}],
    "a header that AMQP cannot write": [
        {"event_id": "e1", "source": "s", "type": "t", "data": 1, "request_id": datetime(1960, 1, 1, tzinfo=UTC)}
    ],
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_document_does_not_stop_the_relay(
    broken: str,
    ours: Relay,
    broker: ConfirmingConnection,
    things: Collection[Document],
    channel: BlockingChannel,
    source: str,
) -> None:
    queue = hear(channel, source)
    things.insert_one({"_id": broken, "outbox": BROKEN[broken]})
    thing_id = store(things, an_event(source))
    ours.publish_pending(broker)
    assert next_message(channel, queue)[1]["aggregate_id"] == thing_id
    assert refusal(things, broken)
    assert [shown.aggregate_id for shown in waiting(things)] == [broken]


@pytest.mark.parametrize("odd", [{"times": 1}, {"event_id": "e1", "times": "often"}, "text", None], ids=str)
def test_refusal_that_cannot_be_read_is_written_anew(
    odd: Any,
    ours: Relay,
    broker: ConfirmingConnection,
    things: Collection[Document],
    channel: BlockingChannel,
    source: str,
) -> None:
    things.insert_one({"_id": "odd", "outbox": [an_event(source, "unheard")], REFUSAL: odd})
    queue = hear(channel, source, "thing_happened")
    thing_id = store(things, an_event(source))
    assert ours.publish_pending(broker) == 1
    assert next_message(channel, queue)[1]["aggregate_id"] == thing_id
    found = refusal(things, "odd")
    assert found and found["times"] == 1 and found["next_try"] > found["since"]


def test_document_that_cannot_be_changed_is_not_told_of_at_every_look(
    ours: Relay, broker: ConfirmingConnection, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = hear(channel, source)
    stuck = store(things, an_event(source))
    things.database.command("collMod", "things", validator={"good": True})  # rules that it does not keep
    thing_id = uuid4().hex
    things.insert_one({"_id": thing_id, "good": True, "outbox": [an_event(source)]})
    assert ours.publish_pending(broker) == 2
    assert outbox(things, thing_id) == []
    assert ours.publish_pending(broker) == 0
    assert {next_message(channel, queue)[1]["aggregate_id"] for _ in range(2)} == {stuck, thing_id}


def test_event_stored_while_others_are_published_is_kept_for_the_next_round(
    ours: Relay,
    broker: ConfirmingConnection,
    things: Collection[Document],
    channel: BlockingChannel,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = hear(channel, source)
    first, second = an_event(source), an_event(source, seq=2)
    thing_id = store(things, first)
    publish = ConfirmingConnection.publish

    def meanwhile(*arguments: Any) -> Any:
        outcomes = publish(*arguments)
        things.update_one({"_id": thing_id, "late": None}, {"$push": {"outbox": second}, "$set": {"late": True}})
        return outcomes

    monkeypatch.setattr(ConfirmingConnection, "publish", meanwhile)
    ours.publish_pending(broker)
    assert [kept["event_id"] for kept in outbox(things, thing_id)] == [second["event_id"]]
    ours.publish_pending(broker)
    assert [next_message(channel, queue)[1]["seq"] for _ in range(2)] == [1, 2]


def test_delayed_event_arrives_within_the_second_before_its_moment(
    ours: Relay, broker: ConfirmingConnection, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = str(channel.queue_declare("", exclusive=True).method.queue)
    channel.queue_bind(queue, delays.EXIT, delays.leaves_as(f"{source}.thing_happened"))
    due = datetime.now(UTC) + timedelta(seconds=2.5)
    store(things, an_event(source, not_before=due))
    ours.publish_pending(broker)
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


def another(relay: Relay, stack: LocalStack, things: Collection[Document]) -> Relay:
    """A second relay beside the first."""
    return Relay(stack.amqp_uri, things.database.client, Lease(things.database["leases"], "relay"))


def test_of_two_relays_one_works_and_each_event_is_told_once(
    stack: LocalStack, ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = hear(channel, source)
    stop = threading.Event()
    relays = [threading.Thread(target=one.run, args=[stop.is_set]) for one in (ours, another(ours, stack, things))]
    for thread in relays:
        thread.start()
    try:
        stored = [store(things, an_event(source)) for _ in range(100)]
        heard = [next_message(channel, queue)[1]["aggregate_id"] for _ in stored]
        assert sorted(heard) == sorted(stored)
        poll(lambda: things.count_documents({"outbox": []}) == 100)
        assert channel.basic_get(queue)[0] is None
    finally:
        stop.set()
        for thread in relays:
            thread.join(5)


def test_relay_that_ends_in_order_is_followed_at_once(
    stack: LocalStack, ours: Relay, things: Collection[Document], channel: BlockingChannel, source: str
) -> None:
    queue = hear(channel, source)
    stops = [threading.Event(), threading.Event()]
    relays = [
        threading.Thread(target=one.run, args=[stop.is_set])
        for one, stop in zip((ours, another(ours, stack, things)), stops, strict=True)
    ]
    try:
        for thread in relays:
            thread.start()
        store(things, an_event(source))
        next_message(channel, queue)
        holder = things.database["leases"].find_one({"_id": "relay"})
        assert holder
        first = 0 if holder["holder"] == ours._lease._holder else 1
        stops[first].set()
        relays[first].join(5)
        store(things, an_event(source))
        next_message(channel, queue, seconds=2)
    finally:
        for stop, thread in zip(stops, relays, strict=True):
            stop.set()
            thread.join(5)


def test_event_of_a_relay_that_was_killed_between_confirm_and_removal_is_told_again_as_the_same(
    ours: Relay,
    broker: ConfirmingConnection,
    things: Collection[Document],
    channel: BlockingChannel,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = hear(channel, source)
    event = an_event(source)
    store(things, event)
    with monkeypatch.context() as patch:
        patch.setattr(Relay, "_write", lambda *_: None)
        assert ours.publish_pending(broker) == 1
    assert ours.publish_pending(broker) == 1
    assert [next_message(channel, queue)[1]["event_id"] for _ in range(2)] == [event["event_id"]] * 2


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_events_go_out_while_counting_them_fails_or_hangs(
    ours: Relay,
    things: Collection[Document],
    channel: BlockingChannel,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    counting, stop = threading.Event(), threading.Event()

    def survey(*_: Any) -> None:
        counting.set()
        if how == "hangs":
            stop.wait(60)
        raise NetworkTimeout("timed out")

    monkeypatch.setattr(unpublished, "survey", survey)
    monkeypatch.setattr(census, "PAUSE", 0.05)
    queue = hear(channel, source)
    running = threading.Thread(target=ours.run, args=[stop.is_set])
    running.start()
    try:
        assert counting.wait(10)
        for _ in range(3):
            told = store(things, an_event(source))
            assert next_message(channel, queue)[1]["aggregate_id"] == told
    finally:
        stop.set()
        running.join(5)


@pytest.mark.long
def test_events_are_in_their_queue_soon_and_a_backlog_goes_fast(
    ours: Relay,
    things: Collection[Document],
    channel: BlockingChannel,
    source: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    queue = hear(channel, source)
    stop = threading.Event()
    running = threading.Thread(target=ours.run, args=[stop.is_set])
    things.insert_many({"_id": uuid4().hex, "outbox": [an_event(source)]} for _ in range(5000))
    began = time.monotonic()
    running.start()
    try:
        poll(lambda: channel.queue_declare(queue, passive=True).method.message_count == 5000, seconds=60)
        rate = 5000 / (time.monotonic() - began)
        channel.queue_purge(queue)
        took = []
        for _ in range(300):
            began = time.monotonic()
            store(things, an_event(source))
            next_message(channel, queue)
            took.append(time.monotonic() - began)
        took.sort()
    finally:
        stop.set()
        running.join(5)
    with capsys.disabled():
        print(f"\n  a backlog: {rate:.0f} events/s")
        print(f"  from the write to the queue: median {took[150] * 1000:.0f} ms, p99 {took[297] * 1000:.0f} ms")
    assert took[150] < 0.1


def test_relay_tells_only_what_a_majority_has_on_disk(
    stack: LocalStack,
    broker: ConfirmingConnection,
    things: Collection[Document],
    channel: BlockingChannel,
    source: str,
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
        assert Relay(stack.amqp_uri, client, Lease(client["unused"]["leases"], "relay")).publish_pending(broker) == 1
    finds = [command for command in asked if "find" in command]
    assert finds and all(command["readConcern"]["level"] == "majority" for command in finds)
