"""Operators' commands: `python -m rabbitmq topology apply`, `python -m rabbitmq relay`."""

import logging
import os
import signal
import threading

import click
from pymongo import MongoClient

from rabbitmq import broker
from rabbitmq.database import Document
from rabbitmq.lease import Lease
from rabbitmq.relay import Relay


@click.group()
def main() -> None:
    """What an operator asks of the broker. Addresses come from AMQP_URI and MONGO_URI."""
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("pika").setLevel(logging.WARNING)


@main.group()
def topology() -> None:
    """Exchanges, queues and delay levels."""


@topology.command()
@click.option("--amqp-uri", envvar="AMQP_URI", required=True)
def apply(amqp_uri: str) -> None:
    """Declare them all; safe to repeat."""
    click.echo(f"{broker.apply(amqp_uri)} queues stand")


@main.command()
@click.option("--amqp-uri", envvar="AMQP_URI", required=True)
@click.option("--mongo-uri", envvar="MONGO_URI", required=True)
def relay(amqp_uri: str, mongo_uri: str) -> None:
    """Publish the outboxes' events until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    mongo: MongoClient[Document] = MongoClient(mongo_uri, tz_aware=True, w="majority", journal=True, timeoutMS=5000)
    Relay(amqp_uri, mongo, Lease(mongo["relay"]["leases"], "relay")).run(stop.is_set)


main(prog_name="python -m rabbitmq")
