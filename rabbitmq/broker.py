"""The topology, put into a broker and compared with it, over AMQP alone."""

import logging
from collections.abc import Callable
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from rabbitmq import topology
from rabbitmq.declarations import Queue
from rabbitmq.names import DEAD_LETTERS

log = logging.getLogger(__name__)

NOT_FOUND = 404
TYPE = "topic"


def connect(amqp_uri: str) -> pika.BlockingConnection:
    """
    An operator's connection.

    Raises:
        AMQPError: the broker is out of reach, or does not let us in.
    """
    return pika.BlockingConnection(parameters(amqp_uri))


def parameters(amqp_uri: str) -> pika.URLParameters:
    """How an operator connects: with little patience, under that name."""
    said = pika.URLParameters(amqp_uri)
    said.socket_timeout = said.stack_timeout = said.blocked_connection_timeout = 5
    said.client_properties = {"connection_name": "operator"}
    return said


def apply(amqp_uri: str) -> int:
    """
    Declare everything in the broker; repeating it changes nothing, and no message is taken away.

    Returns:
        the number of queues that now stand.

    Raises:
        AMQPError: the broker is out of reach.
        ChannelClosedByBroker: something of the name stands there with other arguments.
    """
    wanted = topology.everything()
    with connect(amqp_uri) as connection:
        channel = connection.channel()
        for exchange in wanted.exchanges:
            channel.exchange_declare(exchange, TYPE, durable=True)
        for queue in wanted.queues:
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
        for binding in wanted.bindings:
            bind = channel.exchange_bind if binding.to_exchange else channel.queue_bind
            bind(binding.destination, binding.source, binding.key)
        _retire_the_common_dead_letters(connection)
    return len(wanted.queues)


def differences(amqp_uri: str) -> list[str]:
    """
    What of the exchanges and queues is missing in the broker, or other than it should be; a line each.

    AMQP shows no bindings and no rights: see `definitions.differences`.

    Raises:
        AMQPError: the broker is out of reach.
    """
    wanted, found = topology.everything(), []
    with connect(amqp_uri) as connection:
        newer = topology.mark(topology.VERSION + 1)
        if _problem(connection, lambda channel: channel.exchange_declare(newer, passive=True)) is None:
            found.append(f"a newer topology than {topology.VERSION} was applied")
        for exchange in wanted.exchanges:
            found += _compared(connection, f"exchange {exchange}", _declares_exchange(exchange))
        for queue in wanted.queues:
            found += _compared(connection, f"queue {queue.name}", _declares_queue(queue))
    return found


def depth(connection: pika.BlockingConnection, queue: str) -> tuple[int, int] | None:
    """The messages that wait in *queue* and its consumers; None where there is no such queue."""
    channel = connection.channel()
    try:
        standing = channel.queue_declare(queue, passive=True).method
    except ChannelClosedByBroker as closed:
        if closed.reply_code != NOT_FOUND:
            raise
        return None
    channel.close()
    return standing.message_count, standing.consumer_count


#: Declares something; passively, it only asks whether there is something of the name.
Declaring = Callable[[BlockingChannel, bool], Any]


def _declares_exchange(name: str) -> Declaring:
    return lambda channel, passive: channel.exchange_declare(name, TYPE, passive, durable=True)


def _declares_queue(queue: Queue) -> Declaring:
    return lambda channel, passive: channel.queue_declare(queue.name, passive, durable=True, arguments=queue.arguments)


def _compared(connection: pika.BlockingConnection, what: str, declare: Declaring) -> list[str]:
    """Declaring again what is there changes nothing, and is refused if it is other than we say."""
    if _problem(connection, lambda channel: declare(channel, True)):
        return [f"missing: {what}"]
    wrong = _problem(connection, lambda channel: declare(channel, False))
    return [f"wrong: {what}: {wrong}"] if wrong else []


def _problem(connection: pika.BlockingConnection, act: Callable[[BlockingChannel], Any]) -> str | None:
    """What the broker says against *act*, which has a channel of its own."""
    channel = connection.channel()
    try:
        act(channel)
    except ChannelClosedByBroker as closed:
        return str(closed.reply_text)
    channel.close()
    return None


def _retire_the_common_dead_letters(connection: pika.BlockingConnection) -> None:
    """Version 1 had one queue for the dead letters of all; it goes when nothing is left in it."""
    if (left := depth(connection, DEAD_LETTERS)) is None:
        return
    channel = connection.channel()
    channel.queue_unbind(DEAD_LETTERS, DEAD_LETTERS, "#")
    if left[0]:
        log.warning("%d messages are left in the queue %s of version 1", left[0], DEAD_LETTERS)
    else:
        channel.queue_delete(DEAD_LETTERS)
