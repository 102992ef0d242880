"""Looking into the queue of the dead letters without disturbing those of others."""

from typing import NamedTuple

from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import BasicProperties

from rabbitmq.names import DEAD_LETTERS


class Letter(NamedTuple):
    properties: BasicProperties
    body: bytes

    @property
    def reason(self) -> str:
        """Why it died at last, in the broker's word."""
        return str(self.properties.headers["x-death"][0]["reason"])

    @property
    def queue(self) -> str:
        """Where it died at last."""
        return str(self.properties.headers["x-death"][0]["queue"])


def take(channel: BlockingChannel, queue: str) -> list[Letter]:
    """The dead letters that came from *queue*, taken out; the others stay."""
    found: list[Letter] = []
    others: list[int] = []
    while True:
        method, properties, body = channel.basic_get(DEAD_LETTERS)
        if method is None:
            break
        if method.routing_key == queue:
            found.append(Letter(properties, body))
            channel.basic_ack(method.delivery_tag)
        else:
            others.append(method.delivery_tag)
    for tag in others:
        channel.basic_nack(tag, requeue=True)
    return found
