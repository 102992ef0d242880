"""Operators' commands: `python -m rabbitmq --help`. The relay is one of them."""

import json
import logging.config
import os
import signal
import sys
import threading
from typing import TextIO

import click
from pymongo import MongoClient

from rabbitmq import broker, commands, logs, metrics, users
from rabbitmq import definitions as definitions_
from rabbitmq import topology as topology_
from rabbitmq.commands import Commands, amqp_uri_option, mongo_uri_option
from rabbitmq.console import Console
from rabbitmq.database import Document
from rabbitmq.lease import Lease
from rabbitmq.relay import Relay


@click.group(cls=Commands)
def main() -> None:
    """What an operator asks of the broker. Addresses come from AMQP_URI and MONGO_URI."""
    _log_as("operator")


def _log_as(process: str) -> None:
    logging.config.dictConfig(logs.settings(process, os.environ.get("LOG_LEVEL", "INFO")))
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it says of each failure we say ourselves


for command in (commands.queues, commands.delayed, commands.dead_letters, commands.outbox):
    main.add_command(command)


@main.group()
def topology() -> None:
    """Exchanges, queues, bindings, delay levels, and everybody's rights."""


@topology.command()
@amqp_uri_option
def apply(amqp_uri: str) -> None:
    """Declare all that AMQP can declare; safe to repeat."""
    click.echo(f"{broker.apply(amqp_uri)} queues stand (topology {topology_.VERSION})")


@topology.command()
@amqp_uri_option
@click.option("--export", type=click.File(), help="What `rabbitmqctl export_definitions` wrote; - is standard input.")
def verify(amqp_uri: str, export: TextIO | None) -> None:
    """
    Tell what in the broker differs; exit code 1 if anything does.

    Over AMQP only exchanges and queues can be seen; an export shows bindings and rights as well.
    """
    found = list(definitions_.differences(json.load(export)) if export else broker.differences(amqp_uri))
    click.echo(Console.verdict(found, whole=export is not None))
    sys.exit(1 if found else 0)


@topology.command()
def definitions() -> None:
    """Print all of it, without the users, in the form that RabbitMQ imports (definitions.json)."""
    click.echo(definitions_.as_text(definitions_.definitions()), nl=False)


@topology.command("users")
def users_() -> None:
    """
    Print the users in the form that RabbitMQ imports, with the hashes of their passwords.

    The passwords are taken from RABBITMQ_PASSWORD (the operator's) and RABBITMQ_<PROGRAM>_PASSWORD.
    """
    try:
        click.echo(json.dumps(users.definitions(os.environ), indent=2))
    except KeyError as missing:
        raise click.UsageError(f"{missing.args[0]} is not set") from None


@main.command()
@amqp_uri_option
@mongo_uri_option
@click.option("--metrics-host", envvar="METRICS_HOST", default="127.0.0.1")
@click.option("--metrics-port", envvar="METRICS_PORT", type=int)
def relay(amqp_uri: str, mongo_uri: str, metrics_host: str, metrics_port: int | None) -> None:
    """Publish the outboxes' events until SIGTERM."""
    _log_as("relay")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    metrics.serve(metrics_host, metrics_port)
    # A date that Python has no word for is a broken event's, and no reason to stumble over the whole batch.
    mongo: MongoClient[Document] = MongoClient(
        mongo_uri, tz_aware=True, datetime_conversion="DATETIME_AUTO", w="majority", journal=True, timeoutMS=5000
    )
    Relay(amqp_uri, mongo, Lease(mongo["relay"]["leases"], "relay")).run(stop.is_set)


if __name__ == "__main__":
    main(prog_name="python -m rabbitmq")
