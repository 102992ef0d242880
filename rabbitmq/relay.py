"""
The relay: takes events out of the outboxes and gives them to the broker, in order, until the broker confirms.

A plain process on pika and pymongo. Any number may run: a lease lets one of them work, and another take over. An event
is removed from its outbox after the broker's confirm; a crash between the two publishes it again, which handlers
expect. What the broker refuses holds up its own document only, and is tried ever later.
"""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
from pika.exceptions import AMQPError
from pymongo import MongoClient, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern

from rabbitmq import database, delays, metrics
from rabbitmq.census import Census
from rabbitmq.confirms import Confirmed, ConfirmingConnection, Message, Outcome, Refused, Unknown
from rabbitmq.lease import Lease
from rabbitmq.logs import fields
from rabbitmq.outbox import PENDING, REFUSAL, Envelope, Refusal
from rabbitmq.times import to_wire
from rabbitmq.topology import OUTBOXES, OutboxPlace

log = logging.getLogger(__name__)

BATCH = 200  #: documents per collection and round, one event of each
IDLE = 0.1  #: seconds between two looks, so that there is something to be taken together; not when a lot waits
FAULT_PAUSE = 0.5  #: seconds after a fault of a server
PERSISTENT = 2
#: A refused event is tried again after 1, 2, 4 ... s; after PARKED_AFTER tries an operator is told, and it is tried
#: every RAREST s.
PARKED_AFTER, RAREST = 8, 600
#: Seconds for which MongoDB's clock is read off our own, which counts them; then MongoDB is asked again.
ASKING = 1.0
#: Seconds that a document is left alone which cannot be changed: its event goes out, its outbox stays.
UNCHANGEABLE = 60


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


def message(event: Envelope, aggregate_id: str, now: datetime) -> Message:
    """What the broker gets of *event*."""
    headers = {"nameko.request_id": event["request_id"]} if "request_id" in event else {}
    properties = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=PERSISTENT,
        message_id=event["event_id"],
        headers=headers,
    )
    return Message(*route(event, now), encode(event, aggregate_id), properties)


def refused(event_id: Any, reason: str, before: Any, now: datetime) -> Refusal:
    """What is written to a document whose event was not taken; *before* is what was there, if it can be read."""
    match before:
        case {"event_id": same, "times": int(times), "since": datetime() as since} if same == event_id:
            times += 1
        case _:
            times, since = 1, now
    parked = times >= PARKED_AFTER
    pause = RAREST if parked else min(2 ** (times - 1), RAREST)
    return Refusal(
        event_id=event_id,
        reason=reason,
        times=times,
        since=since,
        next_try=now + timedelta(seconds=pause),
        parked=parked,
    )


class Relay:
    """Carries events from the outboxes of *mongo* to the broker at *amqp_uri*, for ever, while it has *lease*."""

    def __init__(self, amqp_uri: str, mongo: MongoClient[dict[str, Any]], lease: Lease) -> None:
        parameters = pika.URLParameters(amqp_uri)
        parameters.heartbeat = 30
        parameters.socket_timeout = parameters.stack_timeout = 5
        parameters.connection_attempts = 1
        parameters.client_properties = {"connection_name": "relay"}
        self.parameters = parameters
        self._mongo = mongo
        self._lease = lease
        self._active = False
        self._told_at, self._told = float("-inf"), datetime.now(UTC)
        self._unchangeable: dict[tuple[OutboxPlace, Any], float] = {}

    def run(self, stopping: Callable[[], bool]) -> None:
        """Publish until *stopping*; a fault of a server is waited out, and whoever can may go on meanwhile."""
        census = Census(self.parameters, self._mongo)
        census.start(lambda: self._active)
        while not stopping():
            try:
                broker = ConfirmingConnection(self.parameters)
                try:
                    self._work(broker, stopping)
                finally:
                    broker.close()
            except (AMQPError, PyMongoError, OSError) as error:
                log.warning("relay waits for a server: %r", error)
            except Exception:  # whatever it was, the other events are to go out
                log.exception("relay stumbled")
            finally:
                self._let_others_go_on()
            if not stopping():
                time.sleep(FAULT_PAUSE)
        census.stop()

    def _work(self, broker: ConfirmingConnection, stopping: Callable[[], bool]) -> None:
        def goes_on() -> bool:
            return self._lease.hold() and not (stopping() and broker.blocked)

        while not stopping():
            ours = self._lease.hold()
            if ours != self._active:
                self._active = ours
                metrics.relay_active.set(ours)
                log.info("relay is publishing" if ours else "another relay is publishing")
            if not ours or self.publish_pending(broker, goes_on) < BATCH:
                broker.idle(IDLE)

    def _let_others_go_on(self) -> None:
        self._active = False
        metrics.relay_active.set(False)
        try:
            self._lease.release()
        except PyMongoError as error:
            log.warning("the lease ends by itself: %r", error)

    def publish_pending(self, broker: ConfirmingConnection, goes_on: Callable[[], bool] = lambda: True) -> int:
        """
        Publish the first event of each document that has any, once.

        Returns:
            the number of events published and confirmed.

        Raises:
            PyMongoError: the database is gone.
        """
        return sum(self._publish_collection(broker, place, goes_on) for place in OUTBOXES)

    def _publish_collection(self, broker: ConfirmingConnection, place: OutboxPlace, goes_on: Callable[[], bool]) -> int:
        # Of what only this server knows, nothing is told: a crash might undo it.
        collection = self._mongo[place.database].get_collection(place.collection, read_concern=ReadConcern("majority"))
        now = self._now()
        documents: list[dict[str, Any]] = []
        messages: list[Message] = []
        changes: list[UpdateOne] = []
        # One event of each: the second must not overtake a first that is refused.
        for document in collection.find(self._due(place, now), {"outbox": {"$slice": 1}, REFUSAL: 1}).limit(BATCH):
            try:
                messages.append(message(document["outbox"][0], document["_id"], now))
            except Exception as error:  # no event of ours looks like this; the others must not wait for it
                changes.append(self._refuse(place, document, f"broken: {error!r}", now))
            else:
                documents.append(document)
        outcomes = broker.publish(messages, goes_on)
        changes += [
            change
            for document, outcome in zip(documents, outcomes, strict=True)
            if (change := self._change(place, document, outcome, now)) is not None
        ]
        if changes:
            self._write(collection, place, changes)
        return sum(isinstance(outcome, Confirmed) for outcome in outcomes)

    def _now(self) -> datetime:
        """The time by MongoDB's clock: by a wrong one of ours, what is delayed would come too early or too late."""
        if time.monotonic() > self._told_at + ASKING:
            asked_at = time.monotonic()
            self._told, self._told_at = database.now(self._mongo["relay"]), asked_at
        return self._told + timedelta(seconds=time.monotonic() - self._told_at)

    def _due(self, place: OutboxPlace, now: datetime) -> dict[str, Any]:
        # Not "is due": what has no moment, or none that can be read, must not wait for ever.
        due: dict[str, Any] = {PENDING: {"$exists": True}, f"{REFUSAL}.next_try": {"$not": {"$gt": now}}}
        if self._unchangeable:
            self._unchangeable = {one: until for one, until in self._unchangeable.items() if until > time.monotonic()}
            due["_id"] = {"$nin": [one for (where, one) in self._unchangeable if where == place]}
        return due

    def _change(
        self, place: OutboxPlace, document: dict[str, Any], outcome: Outcome, now: datetime
    ) -> UpdateOne | None:
        match outcome:
            case Confirmed():
                event = document["outbox"][0]
                told = fields(event=event["type"], id=event["event_id"], request_id=event.get("request_id"))
                log.info("published", extra=told)
                metrics.published.labels(event["source"], event["type"]).inc()
                gone: dict[str, Any] = {"$pull": {"outbox": {"event_id": event["event_id"]}}}
                if REFUSAL in document:
                    gone["$unset"] = {REFUSAL: ""}
                return UpdateOne({"_id": document["_id"]}, gone)
            case Refused(reason):
                return self._refuse(place, document, reason, now)
            case Unknown():
                return None

    def _refuse(self, place: OutboxPlace, document: dict[str, Any], reason: str, now: datetime) -> UpdateOne:
        outbox = document.get("outbox")
        first = outbox[0] if isinstance(outbox, list) and outbox and isinstance(outbox[0], dict) else {}
        refusal = refused(first.get("event_id"), reason, document.get(REFUSAL), now)
        where = f"{place.database}.{place.collection}"
        metrics.refused.labels(where).inc()
        if refusal["times"] == PARKED_AFTER:
            log.error("parked an event of %s %s after %d tries: %s", where, document["_id"], refusal["times"], reason)
        else:
            log.warning("could not publish an event of %s %s: %s", where, document["_id"], reason)
        return UpdateOne({"_id": document["_id"]}, {"$set": {REFUSAL: refusal}})

    def _write(self, collection: Collection[dict[str, Any]], place: OutboxPlace, changes: list[UpdateOne]) -> None:
        try:
            collection.bulk_write(changes, ordered=False)
        except BulkWriteError as error:
            # Without a pause its event would go out again at every look.
            for failed in error.details["writeErrors"]:
                one = failed["op"]["q"]["_id"]
                log.error("%s.%s %s cannot be changed: %s", place.database, place.collection, one, failed["errmsg"])
                self._unchangeable[place, one] = time.monotonic() + UNCHANGEABLE
