"""Every event there is comes again, and once more after its handler has died: its effect stands once."""

import json
import os
import re
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pymongo import MongoClient

from rabbitmq import delays
from rabbitmq.names import events_exchange
from rabbitmq.topology import OUTBOXES, SUBSCRIPTIONS, OutboxPlace, Subscription
from tests.e2e.api_client import Box, Person, starts_in
from tests.e2e.test_faults import all_bookings, frozen, processes
from tests.e2e.test_late_and_lost import is_published, message_ids
from tests.integration.rabbitmq.rabbitmqctl import rabbitmqctl
from tests.polling import poll

#: Seconds for all that is under way to have its effect.
SETTLING = 90
HANDLERS = ("auth_svc", "concert_svc", "booking_svc-1", "booking_svc-2", "mailer_svc")

Mongo = MongoClient[dict[str, Any]]
Heard = dict[Subscription, list[bytes]]


class Lives:
    """People and concerts of whom everything is told that there is to tell."""

    def __init__(self, box: Box, mongo: Mongo) -> None:
        self.box, self.mongo = box, mongo
        self.organiser = box.organiser()  # with other roles than before
        self.buyer, self.gone = box.register(), box.register()
        starts = {"soon": {"seconds": 16}, "tomorrow": {"hours": 24, "seconds": 10}}
        self.concerts = {
            name: box.on_sale(self.organiser, starts_at=starts_in(**starts.get(name, {"days": 30})))["id"]
            for name in ("soon", "tomorrow", "moved", "called off", "on")
        }
        self.people: tuple[Person, ...] = (self.organiser, self.buyer, self.gone)
        self.booked: list[str] = []

    def are_lived(self) -> None:
        booked = {name: self._book(self.buyer, concert_id) for name, concert_id in self.concerts.items()}
        resent = self._book(self.buyer, self.concerts["on"])
        poll(lambda: {b["confirmation_mail"]["state"] for b in all_bookings(self.buyer)} == {"sent"}, SETTLING)
        moved, off = (f"/v1/concerts/{self.concerts[name]}" for name in ("moved", "called off"))
        for answer in (
            self.buyer.post(f"/v1/bookings/{booked['on']}/cancel"),
            self.buyer.post(f"/v1/bookings/{resent}/resend-confirmation"),
            self.organiser.patch(moved, {"starts_at": starts_in(days=60)}),
            self.organiser.post(f"{off}/cancel"),
            self.box.http.post("/v1/auth/password-reset", json={"email": self.buyer.user["email"]}),
        ):
            assert answer.is_success, answer.text
        poll(lambda: is_published(self.mongo), SETTLING)
        with frozen(processes(self.box)["mailer_svc"]):
            self._book(self.gone, self.concerts["on"])  # nobody can be written to who has no account any more
            self.mongo["auth_svc"]["users"].delete_one({"_id": self.gone.id})

    def _book(self, buyer: Person, concert_id: str) -> str:
        answer = buyer.book(concert_id)
        assert answer.status_code == 201, answer.text
        self.booked.append(answer.json()["id"])
        return self.booked[-1]

    def stand(self) -> dict[str, Any]:
        """All that is known of them, and all mails that they have."""
        people, concerts = [p.id for p in self.people], list(self.concerts.values())
        ours = {"$or": [{"_id": {"$in": people + concerts}}, {"user_id": {"$in": people}}]}
        ours["$or"].append({"concert_id": {"$in": concerts}})
        places = (*OUTBOXES, OutboxPlace("booking_svc", "rollouts"), OutboxPlace("booking_svc", "terms"))
        return {
            **{
                str(place): list(self.mongo[place.database][place.collection].find(ours).sort("_id"))
                for place in places
            },
            "mails": Counter(one for person in self.people for one in message_ids(self.box, person)),
            "left": {one: self.box.http.get(f"/v1/concerts/{one}/availability").json() for one in concerts},
            "logged in": [person.get("/v1/me/sessions").status_code for person in self.people],
        }

    def among(self, heard: Heard) -> Heard:
        """What of it is about them."""
        ids = [one.encode() for one in (*(p.id for p in self.people), *self.concerts.values(), *self.booked)]
        ours = {one: [body for body in bodies if any(id in body for id in ids)] for one, bodies in heard.items()}
        return {one: bodies for one, bodies in ours.items() if bodies}

    def have_settled(self) -> bool:
        """Whether all that was told has had its effect."""
        rollouts = {"concert_id": {"$in": list(self.concerts.values())}, "state": "running"}
        mails = {"user_id": {"$in": [p.id for p in self.people]}, "state": {"$in": ["queued", "sending"]}}
        unheard = {"user_id": {"$in": [p.id for p in self.people]}, "unheard.event": {"$exists": True}}
        return (
            is_published(self.mongo)
            and not self.mongo["booking_svc"]["rollouts"].find_one(rollouts)
            and not self.mongo["booking_svc"]["bookings"].find_one(unheard)
            and not self.mongo["mailer_svc"]["ledger"].find_one(mails)
        )


@contextmanager
def eavesdropping(box: Box) -> Iterator[Callable[[], Heard]]:
    """Gives what has been told since, by who hears it: at once, or when its time had come."""
    connection = pika.BlockingConnection(pika.URLParameters(box.stack.amqp_uri))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    for exchange in {events_exchange(one.source) for one in SUBSCRIPTIONS} | {delays.EXIT}:
        channel.queue_bind(queue, exchange, "#")
    heard: Heard = defaultdict(list)

    def listen() -> Heard:
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            method, _properties, body = got
            for one in SUBSCRIPTIONS:
                at_once = (method.exchange, method.routing_key) == (events_exchange(one.source), one.event)
                if at_once or method.routing_key.endswith(f".{one.source}.{one.event}"):
                    heard[one].append(body)
        return heard

    yield listen
    connection.close()


def deliver(channel: BlockingChannel, heard: Heard) -> None:
    for subscription, messages in heard.items():
        for body in messages:
            properties = pika.BasicProperties(
                content_type="application/json",
                content_encoding="utf-8",
                delivery_mode=2,
                message_id=json.loads(body)["event_id"],
            )
            channel.basic_publish("", subscription.queue, body, properties, mandatory=True)


def nothing_waits(box: Box) -> bool:
    """Whether every message was handled and acknowledged."""
    rows = rabbitmqctl(box.stack, "list_queues", "--silent", "name", "messages").splitlines()
    waiting = dict(row.split() for row in rows if row.startswith("evt-"))
    return all(waiting[one.queue] == "0" for one in SUBSCRIPTIONS)


def outcomes(box: Box, ids: set[str]) -> Counter[str]:
    """What the logs tell of the handlers of these events: how often they ended how."""
    told = (
        re.search(r" message=(\w+) event=\S+ id=(\S+)", line)
        for file in (box.stack.data_dir / "logs").glob("*_svc*.log*")
        for line in file.read_text(errors="replace").splitlines()
        if "logger=rabbitmq.event_handler" in line
    )
    return Counter(found[1] for found in told if found and found[2] in ids)


def well(counted: Counter[str]) -> int:
    return counted["handled"] + counted["repeated"]


@pytest.mark.timeout(400)
def test_every_event_that_comes_again_and_again_has_its_effect_once(box: Box) -> None:
    with Mongo(box.stack.mongo_uri, tz_aware=True) as mongo, eavesdropping(box) as listen:
        lives = Lives(box, mongo)
        lives.are_lived()
        poll(lambda: lives.among(listen()).keys() == set(SUBSCRIPTIONS), SETTLING, every=0.2)
        poll(lambda: lives.have_settled() and nothing_waits(box), SETTLING, every=0.5)
        heard = lives.among(listen())
        ids = {json.loads(body)["event_id"] for messages in heard.values() for body in messages}
        messages = sum(map(len, heard.values()))
        poll(lambda: sum(outcomes(box, ids).values()) >= messages, SETTLING, every=0.5)
        stood, before = lives.stand(), outcomes(box, ids)
        assert set(stood["mails"].values()) == {1}

        def nothing_has_changed(after: int) -> bool:
            """Not the queues' counts tell that all was handled, which are some seconds old, but the logs."""
            poll(lambda: well(outcomes(box, ids)) >= well(before) + after, SETTLING, every=0.5)
            poll(lambda: lives.have_settled() and nothing_waits(box), SETTLING, every=0.5)
            assert lives.stand() == stood
            return all(outcomes(box, ids)[how] == before[how] for how in ("retried", "parked"))

        with pika.BlockingConnection(pika.URLParameters(box.stack.amqp_uri)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for _ in range(2):
                deliver(channel, heard)
            assert nothing_has_changed(2 * messages)
            pids = processes(box)
            for name in HANDLERS:
                os.kill(pids[name], signal.SIGKILL)
            deliver(channel, heard)
        poll(box.stack.is_ready, 60, every=0.2)
        assert nothing_has_changed(3 * messages)
