"""Whatever becomes of messages on their way, each buyer has one mail, and each booking knows of it."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pika
import pytest
from pymongo import MongoClient

from local.settings import ROOT
from rabbitmq.names import events_exchange
from rabbitmq.topology import SUBSCRIPTIONS, Subscription
from tests.e2e.api_client import Box, Person, problem
from tests.e2e.test_faults import all_bookings, frozen, processes
from tests.integration.rabbitmq.rabbitmqctl import memory_alarm
from tests.polling import poll

CONFIRMED, SENT = (
    next(s for s in SUBSCRIPTIONS if (s.event, s.service) == which)
    for which in (("booking_confirmed", "mailer_svc"), ("confirmation_sent", "booking_svc"))
)
#: Seconds for mails to go out, and to be told again where that is needed.
MAILS = 60


@pytest.fixture
def buyer(box: Box) -> Person:
    return box.register()


@pytest.fixture
def concert(box: Box) -> dict[str, Any]:
    return box.on_sale(box.organiser(), max_tickets_per_user=100)


def book(buyer: Person, concert: dict[str, Any], times: int) -> list[str]:
    """The ids of so many bookings."""
    answers = [buyer.book(concert["id"]) for _ in range(times)]
    assert {answer.status_code for answer in answers} == {201}
    return [answer.json()["id"] for answer in answers]


def mail_states(buyer: Person) -> set[str]:
    return {booking["confirmation_mail"]["state"] for booking in all_bookings(buyer)}


def unpublished(box: Box, database: str, collection: str) -> int:
    with MongoClient[dict[str, Any]](box.stack.mongo_uri) as mongo:
        return mongo[database][collection].count_documents({"outbox.event_id": {"$exists": True}})


def must_have_one_mail_each(box: Box, booked: list[str]) -> None:
    with MongoClient[dict[str, Any]](box.stack.mongo_uri) as mongo:
        entries = list(mongo["mailer_svc"]["ledger"].find({"booking_id": {"$in": booked}, "kind": "confirmation"}))
    assert sorted(entry["booking_id"] for entry in entries) == sorted(booked)
    assert {entry["state"] for entry in entries} == {"sent"}


@contextmanager
def all_frozen(box: Box, service: str) -> Iterator[None]:
    """Every process of *service* stands still for the time of the block."""
    with ExitStack() as still:
        for name, pid in processes(box).items():
            if name.startswith(service):
                still.enter_context(frozen(pid))
        yield


def lose(box: Box, subscription: Subscription) -> int:
    """Delete the queue with all that was confirmed, as a broker that is replaced does; gives how much that was."""
    with pika.BlockingConnection(pika.URLParameters(box.stack.amqp_uri)) as connection:
        lost = connection.channel().queue_delete(subscription.queue).method.message_count
    environment = {**os.environ, "AMQP_URI": box.stack.amqp_uri}
    subprocess.run(
        [sys.executable, "-m", "rabbitmq", "topology", "apply"], cwd=ROOT, env=environment, check=True, timeout=60
    )
    return int(lost)


def test_queue_that_is_lost_with_all_that_was_confirmed_costs_no_mail(
    box: Box, buyer: Person, concert: dict[str, Any]
) -> None:
    with all_frozen(box, "mailer_svc"):
        booked = book(buyer, concert, 60)  # more than it may have taken already
        poll(lambda: unpublished(box, "booking_svc", "bookings") == 0, 20)
        lose(box, CONFIRMED)
    poll(lambda: mail_states(buyer) == {"sent"}, MAILS, every=0.5)
    must_have_one_mail_each(box, booked)


def test_what_the_mailer_told_is_told_again_when_it_is_lost(box: Box, buyer: Person, concert: dict[str, Any]) -> None:
    with ExitStack() as nobody_hears:
        with all_frozen(box, "mailer_svc"):
            booked = book(buyer, concert, 40)
            poll(lambda: unpublished(box, "booking_svc", "bookings") == 0, 20)
            nobody_hears.enter_context(all_frozen(box, "booking_svc"))
        with MongoClient[dict[str, Any]](box.stack.mongo_uri) as mongo:
            sent = {"booking_id": {"$in": booked}, "state": "sent"}
            poll(lambda: mongo["mailer_svc"]["ledger"].count_documents(sent) == 40, MAILS, every=0.2)
        poll(lambda: unpublished(box, "mailer_svc", "ledger") == 0, 20)
        lose(box, SENT)
    poll(lambda: mail_states(buyer) == {"sent"}, MAILS, every=0.5)
    must_have_one_mail_each(box, booked)


@contextmanager
def everything_three_times(box: Box) -> Iterator[Callable[[], int]]:
    """Each event that is published in the block comes twice more; gives how many were repeated so."""
    connection = pika.BlockingConnection(pika.URLParameters(box.stack.amqp_uri))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    for source in {subscription.source for subscription in SUBSCRIPTIONS}:
        channel.queue_bind(queue, events_exchange(source), "#")
    repeated = 0

    def repeat() -> int:
        nonlocal repeated
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            method, properties, body = got
            for subscription in SUBSCRIPTIONS:
                if (events_exchange(subscription.source), subscription.event) == (method.exchange, method.routing_key):
                    for _ in range(2):
                        channel.basic_publish("", subscription.queue, body, properties)
                        repeated += 1
        return repeated

    yield repeat
    connection.close()


def test_every_message_delivered_three_times_has_its_effect_once(
    box: Box, buyer: Person, concert: dict[str, Any]
) -> None:
    with everything_three_times(box) as repeat:
        booked = book(buyer, concert, 20)
        cancelled = booked[::4]
        for booking_id in cancelled:
            assert buyer.post(f"/v1/bookings/{booking_id}/cancel").status_code == 200
        poll(lambda: repeat() and mail_states(buyer) == {"sent"}, MAILS, every=0.2)
        poll(lambda: repeat() >= 2 * (20 + 20 + len(cancelled)), 20, every=0.2)
    must_have_one_mail_each(box, booked)
    states = {booking["id"]: booking["status"] for booking in all_bookings(buyer)}
    assert states == {id: "cancelled" if id in cancelled else "confirmed" for id in booked}
    assert box.available(concert["id"]) == 100 - 20 + len(cancelled)


def test_memory_alarm_is_a_503_in_time_and_afterwards_all_goes_on_by_itself(
    box: Box, buyer: Person, concert: dict[str, Any]
) -> None:
    before = processes(box)
    key = str(uuid.uuid4())
    booked = book(buyer, concert, 1)
    with memory_alarm(box.stack):
        for _ in range(5):
            began = time.monotonic()
            assert problem(buyer.book(concert["id"], key=key)) == (503, "unavailable")
            assert time.monotonic() - began < 5
    poll(lambda: buyer.book(concert["id"], key=key).status_code == 201, 20, every=0.2)
    booked += [booking["id"] for booking in all_bookings(buyer) if booking["id"] not in booked]
    assert len(booked) == 2
    poll(lambda: mail_states(buyer) == {"sent"}, MAILS, every=0.2)
    must_have_one_mail_each(box, booked)
    assert processes(box) == before


def test_a_request_can_be_followed_by_its_id_to_the_log_line_of_its_mail(
    box: Box, buyer: Person, concert: dict[str, Any]
) -> None:
    request_id = f"follow-{uuid.uuid4().hex[:8]}"
    body = {"concert_id": concert["id"], "items": [{"ticket_type": "standing", "quantity": 1}]}
    headers = {"Idempotency-Key": request_id, "X-Request-ID": request_id}
    assert buyer.post("/v1/bookings", body, headers).status_code == 201
    poll(lambda: mail_states(buyer) == {"sent"}, MAILS, every=0.1)

    def told() -> dict[str, list[str]]:
        """The lines with the id, by process."""
        logs = {file.stem: file.read_text(errors="replace") for file in (box.stack.data_dir / "logs").glob("*.log")}
        return {
            process.partition("-")[0]: [line for line in text.splitlines() if f" request_id={request_id} " in line]
            for process, text in sorted(logs.items())
            if request_id in text
        }

    said = poll(lambda: (found := told()).keys() >= {"gateway", "booking_svc", "relay", "mailer_svc"} and found)
    assert any("path=/v1/bookings status=201" in line for line in said["gateway"])
    assert any("event=booking_confirmed" in line for line in said["relay"])
    assert any("event=booking_confirmed" in line for line in said["mailer_svc"])


def test_every_process_shows_what_it_counts(box: Box, buyer: Person, concert: dict[str, Any]) -> None:
    book(buyer, concert, 1)
    poll(lambda: mail_states(buyer) == {"sent"}, MAILS, every=0.1)
    targets = json.loads((box.stack.data_dir / "metrics.json").read_text())
    shown = {}
    for target in targets:
        answer = box.http.get(f"http://{target['targets'][0]}/metrics")
        assert answer.status_code == 200
        shown[target["labels"]["process"]] = answer.text
    assert set(shown) == {"auth_svc", "concert_svc", "booking_svc-1", "booking_svc-2", "mailer_svc", "relay"}
    assert (
        'rpc_calls_total{method="book_tickets",outcome="answered"}' in shown["booking_svc-1"] + shown["booking_svc-2"]
    )
    assert f'events_total{{outcome="handled",queue="{CONFIRMED.queue}"}}' in shown["mailer_svc"]
    for metric in ("outbox_pending", "outbox_oldest_seconds", "outbox_parked"):
        assert f'{metric}{{outbox="booking_svc.bookings"}}' in shown["relay"]
    assert 'events_published_total{event="booking_confirmed",source="booking_svc"}' in shown["relay"]
