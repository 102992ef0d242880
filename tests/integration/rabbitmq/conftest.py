"""What the tests of the broker share: a channel, and a tiny service."""

from collections.abc import Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.integration.rabbitmq import tiny as tiny_
from tests.integration.rabbitmq.tiny import Tiny
from tests.local_stack import LocalStack


@pytest.fixture
def channel(stack: LocalStack) -> Iterator[BlockingChannel]:
    """A channel with publisher confirms, its connection for itself."""
    connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_uri))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    if connection.is_open:
        connection.close()


@pytest.fixture(scope="package")
def tiny(stack: LocalStack) -> Iterator[Tiny]:
    """A tiny service that answers."""
    with tiny_.running(stack.amqp_uri) as service:
        yield service
