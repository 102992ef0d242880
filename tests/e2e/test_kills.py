"""Processes are killed, or asked to stop, while everybody buys; afterwards nothing is lost, doubled or left over."""

import json
import os
import random
import re
import signal
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from statistics import median
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from local import checks
from local.supervisor import Supervisor
from rabbitmq.names import dead_letters_of
from rabbitmq.topology import OUTBOXES, SUBSCRIPTIONS
from tests.e2e.api_client import Box, Person, starts_in
from tests.e2e.test_faults import all_bookings
from tests.integration.rabbitmq.rabbitmqctl import rabbitmqctl
from tests.polling import poll

SELLERS = 4
#: Seconds between two bookings of a seller.
PAUSE = 0.05
#: Seconds for all that is under way to have its effect once the load has ended.
SETTLING = 600
#: Of a concert whose sales have closed.
ENDED = ("closed", "finished")
OUTCOMES = ("published", "handled", "repeated", "retried", "parked")


def insist(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer of a good client's patience: a 503, or nobody there, is answered with the same request again."""
    for _ in range(60):
        try:
            answer = ask()
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code != 503 and "request_in_progress" not in answer.text:
            return answer
        time.sleep(min(1.0, float(answer.headers["Retry-After"])))
    raise AssertionError("no answer at all")


@dataclass
class Sales:
    """What was sold, and what its buyers were told."""

    box: Box
    buyers: list[Person]
    concert_id: str
    booked: dict[str, Person] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def sell(self, number: int) -> None:
        """Book and now and then cancel, until it is over."""
        ours = self.buyers[number::SELLERS]
        for turn in count():
            if self.over.wait(PAUSE):
                return
            buyer, key = ours[turn % len(ours)], str(uuid.uuid4())
            answer = insist(lambda: buyer.book(self.concert_id, key=key))  # noqa: B023
            assert answer.status_code == 201, answer.text
            booking_id = answer.json()["id"]
            assert booking_id not in self.booked
            self.booked[booking_id] = buyer
            if random.random() < 0.1:
                answer = insist(lambda: buyer.post(f"/v1/bookings/{booking_id}/cancel"))  # noqa: B023
                assert answer.status_code == 200 or "already_cancelled" in answer.text, answer.text
                self.cancelled.add(booking_id)


@contextmanager
def selling(box: Box, buyers: int) -> Iterator[Sales]:
    """Four sellers at work for the time of the block."""
    concert = box.on_sale(box.organiser(), capacity=100_000, max_tickets_per_user=100)
    sales = Sales(box, [box.register() for _ in range(buyers)], concert["id"])
    with ThreadPoolExecutor(SELLERS) as pool:
        selling = [pool.submit(sales.sell, number) for number in range(SELLERS)]
        try:
            yield sales
        finally:
            sales.over.set()
    for one in selling:
        one.result()


def outcomes(box: Box) -> Counter[str]:
    """What the logs say became of events."""
    said: Counter[str] = Counter()
    for file in (box.stack.data_dir / "logs").glob("*.log*"):
        for line in file.read_text(errors="replace").splitlines():
            if (match := re.search(r" message=(\w+) event=", line)) and match[1] in OUTCOMES:
                said[match[1]] += 1
    return said


def dead_letters(box: Box) -> int:
    rows = [row.split() for row in rabbitmqctl(box.stack, "list_queues", "--silent", "name", "messages").splitlines()]
    ours = {dead_letters_of(subscription.queue) for subscription in SUBSCRIPTIONS}
    return sum(int(row[1]) for row in rows if row and row[0] in ours)


def must_have_lost_nothing(sales: Sales) -> None:
    """Every booking is there, has its mail, and only one; no event waits; the audit is clean."""
    box = sales.box
    listed = {b["id"]: b for buyer in sales.buyers for b in all_bookings(buyer)}
    assert listed.keys() == sales.booked.keys()
    assert {id for id, b in listed.items() if b["status"] == "cancelled"} == sales.cancelled
    standing = sales.booked.keys() - sales.cancelled
    with MongoClient[dict[str, Any]](box.stack.mongo_uri) as mongo:
        waiting = {"_id": {"$in": list(standing)}, "confirmation_mail.state": {"$ne": "sent"}}
        poll(lambda: mongo["booking_svc"]["bookings"].count_documents(waiting) == 0, SETTLING, every=0.5)
        for place in OUTBOXES:
            outbox = mongo[place.database][place.collection]
            poll(lambda: outbox.count_documents({"outbox.event_id": {"$exists": True}}) == 0, SETTLING, every=0.5)  # noqa: B023
        entries = list(mongo["mailer_svc"]["ledger"].find({"booking_id": {"$in": list(standing)}}))
    confirmations = Counter(entry["booking_id"] for entry in entries if entry["kind"] == "confirmation")
    assert confirmations == dict.fromkeys(standing, 1)
    assert len({entry["message_id"] for entry in entries}) == len(entries)
    box.stack.must_be_sound()


# --- kills


def metrics_of(box: Box, process: str) -> str:
    """What *process* counts; empty while it does not answer."""
    port = ports_of(box)[f"metrics-{process}"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def ports_of(box: Box) -> dict[str, int]:
    return dict(json.loads((box.stack.data_dir / "ports.json").read_text()))


def running(box: Box) -> dict[str, int]:
    """The stack's processes that run, name -> pid."""
    return {process.name: process.pid for process in Supervisor(box.stack.data_dir).processes() if process.pid}


def is_back(box: Box, process: str, killed: int) -> bool:
    """Whether another process is at work in its place."""
    if running(box).get(process, killed) == killed:
        return False
    if process == "rabbitmq":
        return lets_in(box.stack.amqp_uri)
    return ("relay_active 1.0" if process == "relay" else "rpc_calls") in metrics_of(box, process)


def lets_in(amqp_uri: str) -> bool:
    try:
        checks.rabbitmq(amqp_uri)
    except checks.NoAnswer:
        return False
    return True


def end(box: Box, process: str, by: signal.Signals = signal.SIGKILL) -> float:
    """End *process*, as a power cut would or in order; returns the seconds until another is at work in its place."""
    pid = poll(lambda: running(box).get(process), 60, every=0.1)
    began = time.monotonic()
    os.kill(pid, by)
    poll(lambda: is_back(box, process, pid), 120, every=0.1)
    return time.monotonic() - began


def kill_again_and_again(box: Box, name: str, times: int) -> list[float]:
    """The seconds that each took to come back."""
    took = []
    for _ in range(times):
        time.sleep(random.uniform(0, 2))  # so that they meet in every combination
        took.append(end(box, random.choice(["booking_svc-1", "booking_svc-2"]) if name == "booking_svc" else name))
    return took


ONE_OF_EACH = {"rabbitmq": 1, "relay": 1, "mailer_svc": 1, "booking_svc": 1, "concert_svc": 1}
A_HUNDRED = {"rabbitmq": 15, "relay": 25, "mailer_svc": 25, "booking_svc": 25, "concert_svc": 10}


@pytest.mark.parametrize(
    ("victims", "buyers", "concerts"),
    [
        pytest.param(ONE_OF_EACH, 24, 3, id="one of each", marks=pytest.mark.timeout(300)),
        pytest.param(A_HUNDRED, 160, 20, id="a hundred", marks=[pytest.mark.long, pytest.mark.timeout(2400)]),
    ],
)
def test_killed_under_load_nothing_is_lost_doubled_or_parked(
    box: Box, victims: dict[str, int], buyers: int, concerts: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The broker, the relay and the handlers, each again and again and beside each other."""
    before, parked_before = outcomes(box), dead_letters(box)
    organiser = box.organiser()
    about_to_close = [
        box.on_sale(organiser, starts_at=starts_in(seconds=15 + 2 * sum(victims.values()) * number / concerts))["id"]
        for number in range(concerts)
    ]
    with selling(box, buyers) as sales, ThreadPoolExecutor(len(victims)) as killers:
        at_it = {name: killers.submit(kill_again_and_again, box, name, times) for name, times in victims.items()}
        took = {name: killer.result() for name, killer in at_it.items()}
    must_have_lost_nothing(sales)
    for concert_id in about_to_close:
        poll(lambda: box.http.get(f"/v1/concerts/{concert_id}").json()["status"] in ENDED, 90, every=0.5)  # noqa: B023
    said = outcomes(box) - before
    with capsys.disabled():
        kills = sum(map(len, took.values()))
        print(f"\n  {kills} kills: {len(sales.booked)} bookings, {len(sales.cancelled)} of them cancelled; lost 0")
        print("  events: " + ", ".join(f"{said[outcome]} {outcome}" for outcome in OUTCOMES))
        for name, seconds in took.items():
            print(f"  {name:12} back after {median(seconds):.1f} s (median), {max(seconds):.1f} s (longest)")
    assert dead_letters(box) == parked_before, "parked"
    assert said["parked"] == 0


# --- restarts in order


@pytest.mark.long
@pytest.mark.timeout(600)
def test_orderly_restart_of_the_broker_under_load_loses_nothing(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    """Events are on their way, and delays pending."""
    before, parked_before, organiser = outcomes(box), dead_letters(box), box.organiser()
    concerts = [box.on_sale(organiser, starts_at=starts_in(seconds=20 + 4 * n))["id"] for n in range(5)]
    took = []
    with selling(box, buyers=24) as sales:
        for _ in range(2):
            sold = len(sales.booked)
            poll(lambda: len(sales.booked) > sold + 20, 60)  # noqa: B023
            took.append(end(box, "rabbitmq", signal.SIGTERM))
            sold = len(sales.booked)
            poll(lambda: len(sales.booked) > sold + 20, 60)  # noqa: B023
    must_have_lost_nothing(sales)
    for concert_id in concerts:
        poll(lambda: box.http.get(f"/v1/concerts/{concert_id}").json()["status"] in ENDED, 90, every=0.5)  # noqa: B023
    said = outcomes(box) - before
    with capsys.disabled():
        print(f"\n  {len(took)} restarts in order: {len(sales.booked)} bookings, lost 0")
        print("  events: " + ", ".join(f"{said[outcome]} {outcome}" for outcome in OUTCOMES))
        print(f"  rabbitmq     back after {median(took):.1f} s (median), {max(took):.1f} s (longest)")
    assert dead_letters(box) == parked_before
    assert said["parked"] == 0


@pytest.mark.timeout(300)
def test_rolling_restart_of_everything_under_load_loses_nothing(box: Box) -> None:
    ours = ("auth_svc", "concert_svc", "booking_svc-1", "booking_svc-2", "mailer_svc", "relay", "gateway")
    before = dead_letters(box)
    with selling(box, buyers=24) as sales:
        for name in ours:
            pid = running(box)[name]
            os.kill(pid, signal.SIGTERM)
            poll(lambda: running(box).get(name, pid) != pid, 20, every=0.1)  # noqa: B023
            poll(box.stack.is_ready, 30, every=0.1)
            sold = len(sales.booked)
            poll(lambda: len(sales.booked) > sold, 30)  # noqa: B023
    must_have_lost_nothing(sales)
    assert dead_letters(box) == before
