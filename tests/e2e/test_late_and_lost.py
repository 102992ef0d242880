"""A mailer that comes late, a broker that has lost everything: each mail arrives all the same, and once."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from local.settings import ROOT
from local.supervisor import APP, Supervisor
from rabbitmq.topology import OUTBOXES, SUBSCRIPTIONS, everything
from tests import local_stack
from tests.e2e.api_client import Box, Person, starts_in
from tests.e2e.mail_folder import deliveries
from tests.e2e.test_faults import all_bookings, frozen, processes
from tests.integration.rabbitmq.rabbitmqctl import rabbitmqctl
from tests.polling import poll

#: Seconds for what is under way to arrive, also when it has to be told again.
ARRIVING = 90
#: How long before it hears of them the mailer's events have happened.
LATE = timedelta(hours=1)

Mongo = MongoClient[dict[str, Any]]


@contextmanager
def stopped(box: Box, process: str) -> Iterator[None]:
    """The process is not there for the time of the block, and nobody starts it again."""
    supervisor = Supervisor(box.stack.data_dir)
    supervisor._ask("stopProcess", f"{APP}:{process}")
    try:
        yield
    finally:
        supervisor._ask("startProcess", f"{APP}:{process}")


class Season:
    """Bookings of whom something of every kind becomes while there is no mailer; the mails that are to come of it."""

    def __init__(self, box: Box, mongo: Mongo) -> None:
        self.box, self.mongo = box, mongo
        self.organiser, self.buyer = box.organiser(), box.register()
        self.concerts = {
            name: box.on_sale(self.organiser, max_tickets_per_user=100)["id"] for name in ("moved", "called off", "on")
        }
        self.expected: Counter[tuple[str, str]] = Counter()
        early = {name: self.book(concert_id) for name, concert_id in self.concerts.items()}
        self.resent = self.book(self.concerts["on"])
        poll(lambda: self.confirmations() == {"sent"}, ARRIVING, every=0.2)
        self._early = early

    def book(self, concert_id: str) -> str:
        answer = self.buyer.book(concert_id)
        assert answer.status_code == 201, answer.text
        booking_id = str(answer.json()["id"])
        self.expected[booking_id, "confirmation"] += 1
        return booking_id

    def goes_on(self) -> None:
        """What happens while nobody writes mails."""
        for _ in range(10):
            self.book(self.concerts["on"])
        moved, off = (f"/v1/concerts/{self.concerts[name]}" for name in ("moved", "called off"))
        cancelled = self._early["on"]
        self._expect(cancelled, "cancellation", self.buyer.post(f"/v1/bookings/{cancelled}/cancel"))
        self._expect(self.resent, "resend", self.buyer.post(f"/v1/bookings/{self.resent}/resend-confirmation"))
        self._expect(self._early["moved"], "reschedule", self.organiser.patch(moved, {"starts_at": starts_in(days=60)}))
        self._expect(self._early["called off"], "cancellation", self.organiser.post(f"{off}/cancel"))
        poll(self._is_with_the_bookings, ARRIVING, every=0.2)

    def _expect(self, booking_id: str, kind: str, answer: httpx.Response) -> None:
        assert answer.is_success, answer.text
        self.expected[booking_id, kind] += 1

    def _is_with_the_bookings(self) -> bool:
        told = Counter(news["event"]["type"] for booking in self.bookings() for news in booking.get("unheard", []))
        return told == {"booking_cancelled": 2, "booking_rescheduled": 1}

    def confirmations(self) -> set[str]:
        return {b["confirmation_mail"]["state"] for b in all_bookings(self.buyer) if b["status"] == "confirmed"}

    def bookings(self) -> list[dict[str, Any]]:
        return list(self.mongo["booking_svc"]["bookings"].find({"user_id": self.buyer.id}))

    def mails(self) -> Counter[tuple[str, str]]:
        """The mails that the buyer has, by booking and kind; each file counts."""
        found: Counter[tuple[str, str]] = Counter()
        for message_id in message_ids(self.box, self.buyer):
            about, _, kind = message_id.strip("<>").partition("@")[0].partition(".")
            if about in {booking for booking, _ in self.expected}:
                found[about, kind.partition("-")[0]] += 1
        return found


def message_ids(box: Box, person: Person) -> list[str]:
    """Those of the mails that have arrived at the person's address."""
    return [message_id for recipient, message_id in deliveries(box) if recipient == person.user["email"]]


def is_published(mongo: Mongo) -> bool:
    """Whether the broker has confirmed all that there was to tell."""
    unpublished = {"outbox.event_id": {"$exists": True}}
    return not any(mongo[place.database][place.collection].find_one(unpublished) for place in OUTBOXES)


def make_old(season: Season) -> None:
    """What has happened to the bookings lately happened an hour ago, and so do their events say."""

    def older(what: Any) -> Any:
        """The same, with every time in it an hour ago."""
        if isinstance(what, dict):
            return {name: older(value) for name, value in what.items()}
        if isinstance(what, list):
            return [older(value) for value in what]
        return what - LATE if isinstance(what, datetime) else what

    for booking in season.bookings():
        ours = ("confirmed_at", "cancelled_at", "history", "outbox", "unheard", "confirmation_mail")
        changed = {name: older(booking[name]) for name in ours if name in booking}
        season.mongo["booking_svc"]["bookings"].update_one({"_id": booking["_id"]}, {"$set": changed})


def tellings(season: Season) -> list[int]:
    """How often each that waits for its mail was told again."""
    told = [n["tellings"] for b in season.bookings() for n in b.get("unheard", [])]
    waiting = [b for b in season.bookings() if b["confirmation_mail"]["state"] == "queued"]
    return told + [b["confirmation_mail"].get("tellings", 0) for b in waiting if b["status"] == "confirmed"]


def restart_the_broker(box: Box) -> None:
    os.kill(processes(box)["rabbitmq"], signal.SIGTERM)


def empty_the_broker(box: Box) -> None:
    """Whatever it had confirmed, everybody's rights and all queues are gone; then all is set up again."""
    rabbitmqctl(box.stack, "delete_vhost", "/")
    rabbitmqctl(box.stack, "add_vhost", "/")
    rabbitmqctl(box.stack, "import_definitions", str(ROOT / "rabbitmq" / "definitions.json"))
    subprocess.run(
        [sys.executable, "-m", "rabbitmq", "topology", "apply"],
        **{"cwd": ROOT, "env": {**os.environ, "AMQP_URI": box.stack.amqp_uri}, "check": True, "timeout": 60},
    )


def test_no_queue_of_events_forgets_what_waits_in_it() -> None:
    forgetting = {"x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes"}
    arguments = {queue.name: queue.arguments for queue in everything().queues}
    assert not [one for one in SUBSCRIPTIONS if forgetting & arguments[one.queue].keys()]


def mails_of_a_late_mailer(box: Box) -> None:
    with Mongo(box.stack.mongo_uri, tz_aware=True) as mongo:
        season = Season(box, mongo)
        with stopped(box, "mailer_svc"):
            with frozen(processes(box)["relay"]):
                season.goes_on()
                make_old(season)
            poll(lambda: is_published(mongo), ARRIVING, every=0.2)
            restart_the_broker(box)
            poll(lambda: min(tellings(season)) >= 2, ARRIVING, every=0.5)
            assert season.confirmations() == {"sent", "queued"}
        poll(lambda: season.mails() == season.expected, ARRIVING, every=0.5)
        poll(lambda: season.confirmations() == {"sent"} and not tellings(season), ARRIVING, every=0.5)
        poll(lambda: is_published(mongo), ARRIVING)
        assert season.mails() == season.expected
    poll(box.stack.is_ready, ARRIVING, every=0.2)


@pytest.mark.timeout(300)
def test_mailer_that_comes_an_hour_late_sends_every_mail_once(box: Box) -> None:
    """The broker was restarted meanwhile, and what has had no effect told again."""
    mails_of_a_late_mailer(box)


@pytest.mark.timeout(300)
def test_broker_that_loses_all_it_has_confirmed_costs_no_mail_and_closes_concerts_in_time(box: Box) -> None:
    with Mongo(box.stack.mongo_uri, tz_aware=True) as mongo:
        season = Season(box, mongo)
        closing = box.on_sale(season.organiser, starts_at=starts_in(seconds=28))
        with stopped(box, "mailer_svc"):
            season.goes_on()
            assert box.http.post("/v1/auth/password-reset", json={"email": season.buyer.user["email"]}).is_success
            poll(lambda: is_published(mongo), ARRIVING, every=0.2)
            empty_the_broker(box)
        poll(lambda: season.mails() == season.expected, ARRIVING, every=0.5)
        poll(lambda: season.confirmations() == {"sent"} and not tellings(season), ARRIVING, every=0.5)
        poll(lambda: is_published(mongo), ARRIVING)
        assert season.mails() == season.expected
        closes = datetime.fromisoformat(closing["sales_close_at"])
        closed = poll(lambda: box.http.get(f"/v1/concerts/{closing['id']}").json()["closed_at"], 120, every=0.5)
        assert timedelta(0) <= datetime.fromisoformat(closed) - closes < timedelta(seconds=60)
        # A mail that somebody waits for is asked for again by them.
        assert box.http.post("/v1/auth/password-reset", json={"email": season.buyer.user["email"]}).is_success
        poll(lambda: any(".password-reset@" in one for one in message_ids(box, season.buyer)), ARRIVING, every=0.2)
    poll(box.stack.is_ready, ARRIVING, every=0.2)


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A stack of its own in which no mailer has ever heard of anything."""
    data_dir = tmp_path_factory.mktemp("fresh") / "data"
    stack = local_stack.start(data_dir)
    try:
        yield Box(stack)
        stack.must_be_sound()
    finally:
        stack.stop()
    shutil.rmtree(data_dir)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_mailer_first_started_after_bookings_a_restart_of_the_broker_and_tellings_sends_every_mail_once(
    fresh: Box,
) -> None:
    organiser, buyers = fresh.organiser(), [fresh.register() for _ in range(5)]
    with Mongo(fresh.stack.mongo_uri, tz_aware=True) as mongo:
        with stopped(fresh, "mailer_svc"):
            mongo.drop_database("mailer_svc")  # as if it had never run
            concert = fresh.on_sale(organiser, capacity=1000, max_tickets_per_user=100)
            booked = [buyer.book(concert["id"]).json()["id"] for buyer in buyers for _ in range(40)]
            poll(lambda: is_published(mongo), ARRIVING)
            restart_the_broker(fresh)
            bookings = mongo["booking_svc"]["bookings"]
            seldom = {"confirmation_mail.tellings": {"$not": {"$gte": 3}}}
            poll(lambda: bookings.count_documents(seldom) == 0, 240, every=1)
        poll(lambda: bookings.count_documents({"confirmation_mail.state": {"$ne": "sent"}}) == 0, 240, every=1)
    found = Counter(one for buyer in buyers for one in message_ids(fresh, buyer) if ".confirmation@" in one)
    assert len(found) == len(booked) == 200 and set(found.values()) == {1}
