"""
The relay: takes events out of the outboxes and gives them to the broker, in order, until the broker confirms.

A plain process on pika and pymongo. An event is removed from its outbox after the broker's confirm; a crash between
the two publishes it again, which handlers expect.
"""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError
from pymongo import MongoClient, UpdateOne
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from rabbitmq import delays
from rabbitmq.outbox import PENDING, Envelope
from rabbitmq.times import to_wire
from rabbitmq.topology import OUTBOXES

log = logging.getLogger(__name__)

BATCH = 200  #: documents per collection and round
IDLE = 0.05  #: seconds between two looks when there was nothing
PERSISTENT = 2


def route(event: Envelope, now: datetime) -> tuple[str, str]:
    """
    The exchange and routing key for *event*.

    A delayed event leaves the broker up to a second early, never late: its handler waits for the moment itself.
    """
    seconds = int((event["not_before"] - now).total_seconds()) if "not_before" in event else 0
    if seconds < 1:
        return f"{event['source']}.events", event["type"]
    return delays.ENTRANCE, delays.enters_as(f"{event['source']}.{event['type']}", seconds)


def encode(event: Envelope, aggregate_id: str) -> bytes:
    """The message body, which handlers receive as a dict: an envelope with the id of what it tells of."""
    return json.dumps({**event, "aggregate_id": aggregate_id}, default=to_wire).encode()


class Relay:
    """Carries events from the outboxes of *mongo* to the broker at *amqp_uri*, for ever."""

    def __init__(self, amqp_uri: str, mongo: MongoClient[dict[str, Any]]) -> None:
        parameters = pika.URLParameters(amqp_uri)
        parameters.heartbeat = 30
        parameters.blocked_connection_timeout = 5
        parameters.socket_timeout = 5
        parameters.client_properties = {"connection_name": "relay"}
        self._parameters = parameters
        self._mongo = mongo

    def run(self, stopping: Callable[[], bool]) -> None:
        """Publish until *stopping*; a fault of a server is waited out."""
        while not stopping():
            try:
                connection = pika.BlockingConnection(self._parameters)
                try:
                    channel = connection.channel()
                    channel.confirm_delivery()
                    log.info("relay is publishing")
                    while not stopping():
                        if self.publish_pending(channel) == 0:
                            connection.sleep(IDLE)
                finally:
                    if connection.is_open:
                        connection.close()
            except (AMQPError, PyMongoError, OSError) as error:
                log.warning("relay waits for a server: %r", error)
                time.sleep(0.5)

    def publish_pending(self, channel: BlockingChannel) -> int:
        """
        Publish what the outboxes hold, oldest first within a document.

        Returns:
            the number of events published and confirmed.

        Raises:
            AMQPError: the broker refused or is gone; what it confirmed before is removed from its outbox.
            PyMongoError: the database is gone.
        """
        return sum(self._publish_collection(channel, *place) for place in OUTBOXES)

    def _publish_collection(self, channel: BlockingChannel, database: str, name: str) -> int:
        # Of what only this server knows, nothing is told: a crash might undo it.
        collection = self._mongo[database].get_collection(name, read_concern=ReadConcern("majority"))
        confirmed: list[UpdateOne] = []
        try:
            for document in collection.find({PENDING: {"$exists": True}}, {"outbox": 1}).limit(BATCH):
                for event in document["outbox"]:
                    self._publish(channel, event, document["_id"])
                    remove = {"$pull": {"outbox": {"event_id": event["event_id"]}}}
                    confirmed.append(UpdateOne({"_id": document["_id"]}, remove))
        finally:
            if confirmed:
                collection.bulk_write(confirmed, ordered=False)
        return len(confirmed)

    def _publish(self, channel: BlockingChannel, event: Envelope, aggregate_id: str) -> None:
        exchange, routing_key = route(event, datetime.now(UTC))
        headers = {"nameko.request_id": event["request_id"]} if "request_id" in event else {}
        properties = pika.BasicProperties(
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=PERSISTENT,
            message_id=event["event_id"],
            headers=headers,
        )
        channel.basic_publish(exchange, routing_key, encode(event, aggregate_id), properties, mandatory=True)
