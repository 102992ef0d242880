"""What a publisher does while the broker is silent."""

import time

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from rabbitmq.publisher import ImpatientPublisher
from tests.local_stack import LocalStack
from tests.tcp_proxy import proxy


def test_publishing_that_is_given_up_ends_at_once_and_the_next_has_a_new_connection(
    stack: LocalStack, channel: BlockingChannel
) -> None:
    queue = channel.queue_declare("", exclusive=True).method.queue
    with proxy(stack.amqp_uri) as cable:
        publisher = ImpatientPublisher(cable.uri)
        publisher.publish("before", exchange="", routing_key=queue)
        cable.lose()
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            publisher.publish("lost", exchange="", routing_key=queue, retry=False, confirm_timeout=0.3)
        assert time.monotonic() - began < 1
        publisher.publish("after", exchange="", routing_key=queue)
        assert cable.connections == 2
    assert [channel.basic_get(queue, auto_ack=True)[2] for _ in range(3)] == [b'"before"', b'"after"', None]
