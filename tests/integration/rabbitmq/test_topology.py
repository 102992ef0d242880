"""The topology on the real broker."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pika
import pytest
from pika import BasicProperties
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from local import data_dir, private_files
from rabbitmq import broker, definitions, delays, topology, users
from rabbitmq.names import DEAD_LETTERS, dead_letters_of, events_exchange, outlet, rpc_queue
from rabbitmq.topology import SUBSCRIPTIONS, Subscription
from rabbitmq.users import password_variable
from tests.integration.rabbitmq.rabbitmqctl import rabbitmqctl
from tests.local_stack import LocalStack
from tests.polling import poll


@pytest.fixture
def ours(channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subscription]:
    """A subscription that is in the list for this test only."""
    name = f"test_{uuid4().hex[:8]}"
    subscription = Subscription(name, "thing_happened", name, "hear")
    monkeypatch.setattr(topology, "SUBSCRIPTIONS", (subscription,))
    monkeypatch.setattr(topology, "SERVICES", (name,))
    monkeypatch.setattr(topology, "CALLS", {})
    yield subscription
    again = channel.connection.channel()
    for queue in (subscription.queue, dead_letters_of(subscription.queue), rpc_queue(name)):
        again.queue_delete(queue)
    for exchange in (events_exchange(name), outlet(name)):
        again.exchange_delete(exchange)


def waiting(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def test_applying_the_real_list_again_changes_nothing(stack: LocalStack, channel: BlockingChannel) -> None:
    """Services run on it meanwhile: their queues are declared with the same arguments, or this would be refused."""
    assert broker.apply(stack.amqp_uri) == broker.apply(stack.amqp_uri)
    for subscription in SUBSCRIPTIONS:
        channel.queue_declare(subscription.queue, passive=True)
        channel.queue_declare(dead_letters_of(subscription.queue), passive=True)


def test_applying_again_keeps_what_waits_in_a_queue(
    stack: LocalStack, channel: BlockingChannel, ours: Subscription
) -> None:
    broker.apply(stack.amqp_uri)
    channel.basic_publish(f"{ours.source}.events", ours.event, b"{}", mandatory=True)
    broker.apply(stack.amqp_uri)
    assert waiting(channel, ours.queue) == 1


def test_queue_hears_its_event_at_once_delayed_and_retried(
    stack: LocalStack, channel: BlockingChannel, ours: Subscription
) -> None:
    broker.apply(stack.amqp_uri)
    for exchange, key in (
        (f"{ours.source}.events", ours.event),
        (delays.EXIT, delays.enters_as(f"{ours.source}.{ours.event}", 1)),
        (delays.EXIT, delays.enters_as(ours.queue, 1)),
    ):
        channel.basic_publish(exchange, key, b"{}", BasicProperties(delivery_mode=2), mandatory=True)
    assert waiting(channel, ours.queue) == 3


def test_queue_hears_no_other_event(stack: LocalStack, channel: BlockingChannel, ours: Subscription) -> None:
    broker.apply(stack.amqp_uri)
    for exchange, key in (
        (f"{ours.source}.events", "other_thing_happened"),
        (delays.EXIT, delays.enters_as(f"{ours.source}.other_{ours.event}", 1)),
        (delays.EXIT, delays.enters_as(f"other_{ours.source}.{ours.event}", 1)),
        (delays.EXIT, delays.enters_as(f"other_{ours.queue}", 1)),
    ):
        channel.basic_publish(exchange, key, b"{}")
    assert waiting(channel, ours.queue) == 0


def test_queue_that_stands_with_other_arguments_is_told_and_left_alone(
    stack: LocalStack, channel: BlockingChannel, ours: Subscription
) -> None:
    channel.queue_declare(ours.queue, durable=True)
    channel.basic_publish("", ours.queue, b"{}")
    with pytest.raises(ChannelClosedByBroker, match="PRECONDITION_FAILED"):
        broker.apply(stack.amqp_uri)
    assert waiting(channel, ours.queue) == 1


def test_verify_finds_nothing_in_the_broker_of_the_run(stack: LocalStack) -> None:
    assert broker.differences(stack.amqp_uri) == []


def test_verify_tells_of_what_is_missing_and_of_what_is_wrong_and_changes_nothing(
    stack: LocalStack, channel: BlockingChannel, ours: Subscription
) -> None:
    channel.queue_declare(ours.queue, durable=True)
    told = broker.differences(stack.amqp_uri)
    assert f"missing: queue {dead_letters_of(ours.queue)}" in told
    assert f"missing: exchange {events_exchange(ours.source)}" in told
    (wrong,) = (line for line in told if line.startswith(f"wrong: queue {ours.queue}: "))
    assert "inequivalent arg" in wrong
    assert broker.differences(stack.amqp_uri) == told


def test_verify_tells_of_a_newer_topology(
    stack: LocalStack, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "VERSION", 1)
    assert "a newer topology than 1 was applied" in broker.differences(stack.amqp_uri)


def test_what_the_broker_exports_is_what_we_say_to_the_last_binding_and_right(stack: LocalStack) -> None:
    """The run's broker has read definitions.json at its start, and has been declared everything once more since."""
    exported = json.loads(rabbitmqctl(stack, "export_definitions", "-"))
    tests_own = re.compile("tiny_|test_|amq.gen-")
    assert [line for line in definitions.differences(exported) if not tests_own.search(line)] == []


def test_definitions_may_be_imported_again_and_again_with_hashes_and_with_passwords(
    stack: LocalStack, tmp_path: Path
) -> None:
    """The hashes are what `topology users` prints, the passwords what docker-compose.yml writes."""
    passwords = private_files.read_values(data_dir.secrets_file(stack.data_dir))
    hashed = users.definitions(passwords)
    plain = {"users": [{**user, "password": passwords[password_variable(user["name"])]} for user in hashed["users"]]}
    for user in plain["users"]:
        del user["password_hash"], user["hashing_algorithm"]
    for number, imported in enumerate((hashed, definitions.definitions(), plain)):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(imported))
        rabbitmqctl(stack, "import_definitions", str(file))
        for user in users.USERS:
            credentials = pika.PlainCredentials(user, passwords[password_variable(user)])
            parameters = pika.URLParameters(stack.amqp_uri)
            parameters.credentials = credentials
            pika.BlockingConnection(parameters).close()
    assert broker.differences(stack.amqp_uri) == []


def test_common_dead_letters_of_version_1_are_retired_when_nothing_is_left_in_them(
    stack: LocalStack, channel: BlockingChannel, ours: Subscription
) -> None:
    channel.queue_declare(DEAD_LETTERS, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(DEAD_LETTERS, DEAD_LETTERS, "#")
    channel.basic_publish("", DEAD_LETTERS, b"left")
    broker.apply(stack.amqp_uri)
    channel.basic_publish(DEAD_LETTERS, ours.queue, b"new", mandatory=True)
    assert waiting(channel, DEAD_LETTERS) == 1  # it hears nothing more, and keeps what it had
    assert channel.basic_get(DEAD_LETTERS, auto_ack=True)[2] == b"left"
    poll(lambda: broker.apply(stack.amqp_uri) and broker.depth(channel.connection, DEAD_LETTERS) is None)


def test_no_log_of_the_run_holds_a_password(stack: LocalStack) -> None:
    secrets = private_files.read_values(data_dir.secrets_file(stack.data_dir))
    passwords = [secrets[password_variable(user)] for user in users.USERS]
    texts = [file.read_text(errors="replace") for file in (stack.data_dir / "logs").iterdir()] + [stack.said()]
    assert texts and not [password for password in passwords if any(password in text for text in texts)]
