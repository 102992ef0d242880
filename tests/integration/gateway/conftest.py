"""What the gateway's tests share: a channel, and a tiny service to call."""

from collections.abc import Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.integration.rabbitmq import tiny as tiny_
from tests.integration.rabbitmq.tiny import Tiny
from tests.local_stack import LocalStack


@pytest.fixture
def channel(stack: LocalStack) -> Iterator[BlockingChannel]:
    """A channel that is not the client's."""
    with pika.BlockingConnection(pika.URLParameters(stack.amqp_uri)) as connection:
        yield connection.channel()


@pytest.fixture(scope="package")
def tiny(stack: LocalStack) -> Iterator[Tiny]:
    """A tiny service that answers."""
    with tiny_.running(stack.amqp_uri) as service:
        yield service
