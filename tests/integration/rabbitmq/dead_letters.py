"""Looking at dead letters."""

from typing import NamedTuple

from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import BasicProperties

from rabbitmq.names import REASON_HEADER, dead_letters_of


class Letter(NamedTuple):
    properties: BasicProperties
    body: bytes

    @property
    def reason(self) -> str:
        """Why it was parked."""
        return str(self.properties.headers[REASON_HEADER])


def take(channel: BlockingChannel, queue: str) -> list[Letter]:
    """The dead letters that came from *queue*, taken out."""
    found: list[Letter] = []
    while True:
        method, properties, body = channel.basic_get(dead_letters_of(queue), auto_ack=True)
        if method is None:
            return found
        found.append(Letter(properties, body))
