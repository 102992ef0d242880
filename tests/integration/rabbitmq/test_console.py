"""What operators ask and do, on the real servers: `python -m rabbitmq ...` and `make shell`."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pika
import pytest
from click.testing import CliRunner, Result
from pika.adapters.blocking_connection import BlockingChannel
from pymongo.database import Database

from rabbitmq import broker, console, delayed, delays, topology
from rabbitmq.__main__ import main
from rabbitmq.database import Document
from rabbitmq.names import ATTEMPT_HEADER, DEAD_LETTERS, REASON_HEADER, dead_letters_of
from rabbitmq.outbox import envelope
from rabbitmq.relay import refused
from rabbitmq.topology import OutboxPlace, Subscription
from tests.e2e.api_client import shell
from tests.integration.rabbitmq.test_poison import raw_headers, short
from tests.local_stack import LocalStack
from tests.polling import poll

SECRET = "s3cr3t"
Run = Callable[..., Result]


@pytest.fixture
def run(stack: LocalStack) -> Run:
    """Runs a command on the servers of the run."""

    def command(*words: str, **more: Any) -> Result:
        addresses = {"AMQP_URI": stack.amqp_uri, "MONGO_URI": stack.mongo_uri}
        return CliRunner().invoke(main, words, env=addresses, catch_exceptions=False, **more)

    return command


@pytest.fixture
def ours(stack: LocalStack, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscription]:
    """An event queue that nobody consumes, the only one there is for this test."""
    name = f"test_{uuid4().hex[:8]}"
    subscription = Subscription(name, "thing_happened", name, "hear")
    monkeypatch.setattr(topology, "SUBSCRIPTIONS", (subscription,))
    monkeypatch.setattr(topology, "SERVICES", (name,))
    monkeypatch.setattr(topology, "CALLS", {})
    monkeypatch.setattr(console, "SUBSCRIPTIONS", (subscription,))
    broker.apply(stack.amqp_uri)
    yield subscription
    again = channel.connection.channel()
    for queue in (subscription.queue, dead_letters_of(subscription.queue), f"rpc-{name}"):
        again.queue_delete(queue)
    for exchange in (f"{name}.events", f"from.{name}"):
        again.exchange_delete(exchange)


def handler(subscription: Subscription) -> str:
    return f"{subscription.service}.{subscription.method}"


def park(channel: BlockingChannel, ours: Subscription, body: bytes | None = None, **headers: Any) -> str:
    """Park an event as its hearer does, and return its id."""
    event_id = uuid4().hex
    event = {"event_id": event_id, "type": ours.event, "data": {"user_id": "u1", "token": SECRET}}
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=2,
        message_id=None if body is not None else event_id,
        headers={REASON_HEADER: "KeyError: 'venue'", ATTEMPT_HEADER: 7, "nameko.request_id": "r1", **headers},
    )
    channel.basic_publish(DEAD_LETTERS, ours.queue, json.dumps(event).encode() if body is None else body, properties)
    return event_id


def is_left(channel: BlockingChannel, ours: Subscription, messages: int) -> bool:
    """Whether so many dead letters are there in the end; the broker counts what was given back a moment later."""
    queue = dead_letters_of(ours.queue)
    return poll(lambda: channel.queue_declare(queue, passive=True).method.message_count == messages)


def test_queues_tells_how_many_wait_and_how_many_take(run: Run, stack: LocalStack) -> None:
    def rows() -> dict[str, list[str]]:
        return {line.split()[0]: line.split()[1:] for line in run("queues").output.splitlines()}

    assert rows()["QUEUE"] == ["READY", "CONSUMERS"]
    poll(lambda: rows()["rpc-booking_svc"][1] == "2", 10)  # the second process may still be starting
    assert {dead_letters_of(subscription.queue) for subscription in topology.SUBSCRIPTIONS} <= rows().keys()


def test_queues_tells_of_one_that_is_missing(run: Run, channel: BlockingChannel, ours: Subscription) -> None:
    channel.queue_delete(ours.queue)
    assert re.search(rf"{ours.queue} +missing", run("queues").output)


def test_list_tells_why_and_how_often_and_gives_everything_back(
    run: Run, channel: BlockingChannel, ours: Subscription
) -> None:
    ids = [park(channel, ours) for _ in range(3)]
    for _ in range(2):
        output = run("dead-letters", "list").output
        assert [line.split()[1] for line in output.splitlines()[1:]] == ids  # in the order in which they died
        assert output.count("KeyError: 'venue'") == 3 and SECRET not in output
    assert "... and 1 more of" in run("dead-letters", "list", handler(ours), "--limit", "2").output
    assert is_left(channel, ours, 3)


def test_looking_often_does_not_use_a_dead_letter_up(run: Run, channel: BlockingChannel, ours: Subscription) -> None:
    park(channel, ours)
    for _ in range(25):  # RabbitMQ 4 would drop it at the 20th, if the queue did not say otherwise
        assert "KeyError" in run("dead-letters", "list").output


def test_show_tells_everything_but_secrets(run: Run, channel: BlockingChannel, ours: Subscription) -> None:
    park(channel, ours)
    event_id = park(channel, ours)
    output = run("dead-letters", "show", ours.queue, event_id).output
    shown = json.loads(output)
    assert shown["event"] == {"event_id": event_id, "type": ours.event, "data": {"user_id": "u1", "token": "(hidden)"}}
    assert (shown["reason"], shown["attempts"]) == ("KeyError: 'venue'", 7)
    assert shown["headers"]["nameko.request_id"] == "r1"
    assert SECRET not in output


def test_what_the_broker_gave_up_has_the_brokers_reason(run: Run, channel: BlockingChannel, ours: Subscription) -> None:
    channel.basic_publish(f"{ours.source}.events", ours.event, b"{}", pika.BasicProperties(message_id="m1"))
    method, _, _ = channel.basic_get(ours.queue)
    channel.basic_reject(method.delivery_tag, requeue=False)
    shown = json.loads(wait_for_letter(run, ours))
    assert (shown["id"], shown["reason"], shown["attempts"]) == ("m1", "rejected", 0)
    assert datetime.fromisoformat(shown["since"]) > datetime.now(UTC) - timedelta(minutes=1)


def wait_for_letter(run: Run, ours: Subscription) -> str:
    return poll(lambda: run("dead-letters", "show", ours.queue).output.strip())


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"null", b"[1]", b'"text"', b"[" * 100_000, b'{"type": {}}', b"\x1b[2J" * 9]
)
def test_broken_dead_letter_breaks_no_listing(
    body: bytes, run: Run, channel: BlockingChannel, ours: Subscription
) -> None:
    odd = {"odd": [{"deep": 1}], "x-death": "none", REASON_HEADER: "\x1b[31mred", ATTEMPT_HEADER: "often"}
    park(channel, ours, body, **odd)
    good = park(channel, ours)
    listed = run("dead-letters", "list").output
    assert good in listed and len(listed.splitlines()) == 3 and "\x1b" not in listed
    assert "\x1b" not in run("dead-letters", "show", ours.queue).output
    broken = listed.splitlines()[1].split()[1]
    assert run("dead-letters", "discard", "--yes", ours.queue, broken).output.endswith("1 discarded\n")
    assert is_left(channel, ours, 1)


@pytest.mark.parametrize(
    "headers",
    [
        short(b"at") + b"T" + b"\x7f" * 8,  # a date in a far year
        short(b"\xff") + b"t\x01",
        (short(b"a") + b"F\x00\x00\x00\x00") * 3,
    ],
    ids=["date", "name", "doubles"],
)
def test_headers_that_cannot_be_read_break_no_listing(
    headers: bytes, run: Run, channel: BlockingChannel, ours: Subscription
) -> None:
    """The broker moves a message to the dead letters as it is when its hearer can do nothing with it."""
    channel.basic_publish(DEAD_LETTERS, ours.queue, b"{}", raw_headers(headers))
    good = park(channel, ours)
    assert good in run("dead-letters", "list").output
    assert good in run("dead-letters", "show", ours.queue).output
    channel.basic_publish(delays.ENTRANCE, delays.enters_as(ours.queue, 900), b"{}", raw_headers(headers))
    assert f"retry of {handler(ours)}" in run("delayed").output
    assert run("dead-letters", "replay", "--all", ours.queue).output.endswith("2 sent back\n")


def test_replay_sends_what_is_named_back_as_if_it_had_never_failed(
    run: Run, channel: BlockingChannel, ours: Subscription
) -> None:
    first, second, third = (park(channel, ours) for _ in range(3))
    assert run("dead-letters", "replay", handler(ours), second).output.endswith("1 sent back\n")
    method, properties, body = channel.basic_get(ours.queue, auto_ack=True)
    assert method.routing_key == ours.queue
    assert json.loads(body)["event_id"] == properties.message_id == second
    assert json.loads(body)["data"]["token"] == SECRET
    properties.headers.pop("x-delivery-count", None)  # the broker has counted anew
    assert properties.headers == {"nameko.request_id": "r1"}
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")
    output = run("dead-letters", "list").output
    assert first in output and third in output and second not in output


def test_replay_of_all_keeps_the_order(run: Run, channel: BlockingChannel, ours: Subscription) -> None:
    ids = [park(channel, ours) for _ in range(50)]
    assert run("dead-letters", "replay", "--all", handler(ours)).output.endswith("50 sent back\n")
    assert [channel.basic_get(ours.queue, auto_ack=True)[1].message_id for _ in ids] == ids
    assert is_left(channel, ours, 0)


def test_replay_to_a_queue_that_is_gone_loses_nothing(run: Run, channel: BlockingChannel, ours: Subscription) -> None:
    park(channel, ours)
    channel.queue_delete(ours.queue)
    result = run("dead-letters", "replay", "--all", ours.queue)
    assert result.exit_code == 1 and "RabbitMQ: " in result.output
    assert is_left(channel, ours, 1)


def test_discard_asks_first(run: Run, channel: BlockingChannel, ours: Subscription) -> None:
    park(channel, ours)
    asked = run("dead-letters", "discard", "--all", ours.queue, input="n\n")
    assert asked.exit_code == 1 and "Throw away all 1 dead letters" in asked.output
    assert is_left(channel, ours, 1)
    assert run("dead-letters", "discard", "--all", ours.queue, input="y\n").output.endswith("1 discarded\n")
    assert is_left(channel, ours, 0)


@pytest.mark.parametrize("command", ["replay", "discard"])
def test_nothing_named_is_not_everything(command: str, run: Run, channel: BlockingChannel, ours: Subscription) -> None:
    park(channel, ours)
    assert run("dead-letters", command, ours.queue).exit_code == 2
    assert is_left(channel, ours, 1)


def test_unknown_queue_is_answered_with_those_there_are(run: Run) -> None:
    result = run("dead-letters", "show", "nobody.hears")
    assert result.exit_code == 2 and "mailer_svc.send_confirmation" in result.output


def test_broker_that_is_away_is_told_in_a_line() -> None:
    result = CliRunner().invoke(main, ["queues", "--amqp-uri", "amqp://u:hidden@127.0.0.1:1/"])
    assert result.exit_code == 1 and result.output.startswith("Error: RabbitMQ: ") and "hidden" not in result.output


def test_delayed_counts_by_day_and_moves_nothing(
    stack: LocalStack, run: Run, channel: BlockingChannel, ours: Subscription
) -> None:
    in_three_days = datetime.now(UTC) + timedelta(days=3)
    body = json.dumps({"not_before": in_three_days.isoformat()}).encode()
    persistent = pika.BasicProperties(delivery_mode=2)
    mine = f"{ours.source}.{ours.event}"
    for _ in range(2):
        channel.basic_publish(delays.ENTRANCE, delays.enters_as(mine, 3 * 86_400), body, persistent, mandatory=True)
    channel.basic_publish(delays.ENTRANCE, delays.enters_as(ours.queue, 900), b"?", persistent, mandatory=True)
    for _ in range(2):
        rows = [re.split(" {2,}", line) for line in run("delayed").output.splitlines()]
        assert [str(in_three_days.date()), mine, "2"] in rows
        assert [row[2] for row in rows if len(row) == 3 and row[1] == f"retry of {handler(ours)}"] == ["1"]


def test_message_that_was_looked_at_still_comes_in_time(
    stack: LocalStack, channel: BlockingChannel, ours: Subscription
) -> None:
    key = delays.enters_as(ours.queue, 0b10)
    channel.basic_publish(delays.ENTRANCE, key, b"", pika.BasicProperties(delivery_mode=2), mandatory=True)
    began = time.monotonic()
    with broker.connect(stack.amqp_uri) as connection:
        assert sum(delayed.count(connection, lowest=0).values()) >= 1
    poll(lambda: channel.basic_get(ours.queue, auto_ack=True)[0])
    assert time.monotonic() - began > 1.5


@pytest.fixture
def outbox(new_database: Callable[[], Database[Document]], monkeypatch: pytest.MonkeyPatch) -> Database[Document]:
    """A database whose collection `things` is the only one with an outbox; the relay does not know it."""
    database = new_database()
    monkeypatch.setattr(console, "OUTBOXES", (OutboxPlace(database.name, "things"),))
    return database


def waiting(database: Database[Document], id: str, ago: timedelta = timedelta(0), **more: Any) -> None:
    event = envelope("test", "thing_happened", 1, {"token": SECRET}, datetime.now(UTC) - ago)
    database["things"].insert_one({"_id": id, "outbox": [event, event], **more})


def test_outbox_lists_what_waits_and_why(run: Run, outbox: Database[Document]) -> None:
    waiting(outbox, "t1", timedelta(seconds=90))
    waiting(outbox, "t2", outbox_refusal=refused("e", "NO_ROUTE", None, datetime.now(UTC)) | {"parked": True})
    output = run("outbox", "list").output
    assert re.search(r"t1 +thing_happened .* 1 +waiting", output)
    assert re.search(r"t2 +thing_happened .* 1 +parked +1 +NO_ROUTE", output)
    assert SECRET not in output
    assert "t1" not in run("outbox", "list", "--refused").output
    assert "... and 1 more" in run("outbox", "list", "--limit", "1").output


def test_lag_tells_how_many_wait_and_since_when(run: Run, outbox: Database[Document]) -> None:
    waiting(outbox, "t1", timedelta(seconds=90))
    waiting(outbox, "t2", outbox_refusal=refused("e", "NO_ROUTE", None, datetime.now(UTC)))
    assert re.search(rf"{outbox.name}.things +2 +9\d\.\d s +1 +0", run("outbox", "lag").output)


def test_retry_has_what_was_refused_tried_at_once(run: Run, outbox: Database[Document]) -> None:
    for id in ("t1", "t2"):
        waiting(outbox, id, outbox_refusal={"next_try": datetime.now(UTC) + timedelta(hours=1)})
    assert run("outbox", "retry", "t1").output == "1 to be tried again\n"
    assert run("outbox", "retry").output == "2 to be tried again\n"
    assert all(thing["outbox_refusal"]["next_try"] < datetime.now(UTC) for thing in outbox["things"].find())


@pytest.mark.parametrize(
    "broken",
    [
        {"outbox": {"event_id": 1}},
        {"outbox": [{"event_id": None}]},
        {"outbox": ["text", {"event_id": 1}]},
        {"outbox": [{"event_id": "e", "type": ["\x1b"], "occurred_at": "yesterday"}]},
        {"outbox": [{"event_id": "e"}], "outbox_refusal": "odd"},
        {"outbox": [{"event_id": "e"}], "outbox_refusal": {"times": "often", "reason": {"a": 1}}},
    ],
    ids=str,
)
def test_broken_outbox_breaks_no_listing(broken: Document, run: Run, outbox: Database[Document]) -> None:
    outbox["things"].insert_one({"_id": {"odd": 1}, **broken})
    waiting(outbox, "good")
    assert "good" in run("outbox", "list").output
    assert re.search(r"things +2", run("outbox", "lag").output)


def test_date_that_python_cannot_say_breaks_no_listing(run: Run, outbox: Database[Document]) -> None:
    event = {"event_id": "e", "occurred_at": datetime(9999, 12, 31, tzinfo=UTC)}
    outbox["things"].insert_one({"_id": "far", "outbox": [event]})
    outbox["things"].update_one({"_id": "far"}, [{"$set": {"outbox": {"$map": LATER}}}])
    waiting(outbox, "good")
    output = run("outbox", "list").output
    assert "far" in output and "good" in output
    assert run("outbox", "lag").exit_code == 0


#: Adds 10,000 years, in the database, to the date of each event.
LATER = {
    "input": "$outbox",
    "as": "event",
    "in": {"$mergeObjects": ["$$event", {"occurred_at": {"$add": ["$$event.occurred_at", 315_360_000_000_000]}}]},
}


def test_shell_has_the_services_and_the_same_console(stack: LocalStack) -> None:
    assert "ok" in shell(stack, "print(n.rpc.auth_svc.ping())")
    assert "rpc-booking_svc" in shell(stack, "broker.queues()")
    assert "mailer_svc.ledger" in shell(stack, "broker.lag()")
    assert "broker.dead_letters(" in shell(stack, "broker")
    assert "NoSuchQueue: No handler" in shell(stack, "broker.show('nobody.hears')")
