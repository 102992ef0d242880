"""How much waits in the outboxes, and how many dead letters there are: counted now and then, beside the publishing."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pika
import pymongo
from pymongo import MongoClient

from rabbitmq import metrics, unpublished
from rabbitmq.broker import depth
from rabbitmq.names import dead_letters_of
from rabbitmq.topology import OUTBOXES, SUBSCRIPTIONS

log = logging.getLogger(__name__)

PAUSE = 5  #: seconds between two counts
IDLE = 0.5  #: seconds between two looks whether to count
PATIENCE = 30  #: seconds for the count of one outbox; a backlog that takes longer has no figure


class Census:
    """Counts in a thread of its own, so that no count, however slow or broken, holds up an event."""

    def __init__(self, parameters: pika.URLParameters, mongo: MongoClient[dict[str, Any]]) -> None:
        self._parameters = parameters
        self._mongo = mongo
        self._over = threading.Event()

    def start(self, wanted: Callable[[], bool]) -> None:
        """Count until `stop`, as long as *wanted*."""
        threading.Thread(target=self._run, args=[wanted], name="census", daemon=True).start()

    def stop(self) -> None:
        """Begin no further count; one that has begun ends with the process."""
        self._over.set()

    def _run(self, wanted: Callable[[], bool]) -> None:
        while not self._over.is_set():
            counts = wanted()
            if counts:
                for count in (self._count_outboxes, self._count_dead_letters):
                    try:
                        count()
                    except Exception as error:  # a figure is missing, and that is all
                        log.warning("could not count: %r", error)
            self._over.wait(PAUSE if counts else IDLE)

    def _count_outboxes(self) -> None:
        for place in OUTBOXES:
            with pymongo.timeout(PATIENCE):
                found = unpublished.survey(self._mongo[place.database][place.collection], datetime.now(UTC))
            name = f"{place.database}.{place.collection}"
            metrics.outbox_pending.labels(name).set(found.pending)
            metrics.outbox_parked.labels(name).set(found.parked)
            metrics.outbox_oldest.labels(name).set(found.oldest_seconds)

    def _count_dead_letters(self) -> None:
        connection = pika.BlockingConnection(self._parameters)
        try:
            for queue in sorted({subscription.queue for subscription in SUBSCRIPTIONS}):
                there = depth(connection, dead_letters_of(queue))
                metrics.dead_letters.labels(queue).set(there[0] if there else 0)
        finally:
            connection.close()
