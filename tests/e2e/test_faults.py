"""A part that fails or freezes is answered with 503 and Retry-After in time, and nothing is lost."""

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.e2e.api_client import Box, Person, insist, problem
from tests.harm import again_and_again
from tests.polling import poll


def processes(box: Box) -> dict[str, int]:
    """The stack's processes, name -> pid."""
    environment = {**os.environ, "DATA_DIR": str(box.stack.data_dir)}
    listed = subprocess.run(
        [sys.executable, "-m", "local", "ps"], env=environment, capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def pids_of(box: Box, service: str, number: int) -> list[int]:
    """The processes of *service*, once there are so many of them."""
    pids = [pid for name, pid in processes(box).items() if name.startswith(service)]
    return pids if len(pids) == number else []


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process stands still for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("server", "seconds"), [("redis", 1.5), ("redis-sessions", 1.5), ("mongod", 5), ("rabbitmq", 5)]
)
def test_a_frozen_server_is_a_503_in_time_and_the_same_key_books_later(box: Box, server: str, seconds: float) -> None:
    organiser = box.organiser()
    concert, draft = box.on_sale(organiser), box.concert(organiser)
    buyer, key = box.register(), str(uuid.uuid4())
    assert buyer.book(concert["id"]).status_code == 201
    with frozen(processes(box)[server]):
        began = time.monotonic()
        answer = buyer.book(concert["id"], key=key)
        took = time.monotonic() - began
        assert problem(answer) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert took < seconds
        assert box.http.get("/health/ready").status_code == 503
        assert problem(organiser.post(f"/v1/concerts/{draft['id']}/publish")) == (503, "unavailable")
        assert box.http.get("/health/live").status_code == 200

    def booked() -> Any:
        again = buyer.book(concert["id"], key=key)
        assert again.status_code in (201, 409, 503), again.text
        return again if again.status_code == 201 else None

    poll(booked, seconds=20, every=0.2)
    assert len(buyer.get("/v1/bookings").json()["items"]) == 2
    assert box.available(concert["id"]) == 98
    poll(lambda: box.http.get("/health/ready").status_code == 200, seconds=20)
    assert organiser.post(f"/v1/concerts/{draft['id']}/publish").json()["status"] == "published"


@pytest.mark.parametrize(
    ("what", "path", "others_path"),
    [("booking_svc", "/v1/concerts/{}/availability", "/v1/me"), ("mongod", "/v1/bookings", "/v1/me/sessions")],
    ids=["service", "database behind a service that answers"],
)
def test_two_hundred_requests_to_what_is_frozen_are_answered_in_time_and_hold_up_nobody_else(
    box: Box, what: str, path: str, others_path: str
) -> None:
    concert, buyer = box.on_sale(box.organiser()), box.register()

    def ask(_: int) -> tuple[int, bool, float]:
        began = time.monotonic()
        answer = many.get(path.format(concert["id"]), headers=buyer.authorization)
        return answer.status_code, "Retry-After" in answer.headers, time.monotonic() - began

    def ask_until_answered(number: int) -> float:
        """Of so many at once a busy machine turns some away."""
        began = time.monotonic()
        poll(lambda: ask(number)[0] == 200, seconds=60, every=0.2)
        return time.monotonic() - began

    with (
        httpx.Client(base_url=box.stack.api_url, timeout=60, limits=httpx.Limits(max_connections=None)) as many,
        ThreadPoolExecutor(200) as pool,
    ):
        # A busy machine takes its time for 200 of whatever it is.
        in_time = 5 + max(pool.map(ask_until_answered, range(200)))
        with ExitStack() as still:
            for pid in poll(lambda: pids_of(box, what, 2 if what == "booking_svc" else 1)):
                still.enter_context(frozen(pid))
            asking = [pool.submit(ask, n) for n in range(200)]
            for _ in range(5):
                began = time.monotonic()
                poll(lambda: buyer.get(others_path).status_code == 200, seconds=60, every=0.1)
                if what != "mongod":  # a login may be put off, as all else
                    poll(lambda: box.logs_in(buyer), seconds=60, every=0.1)
                assert time.monotonic() - began < in_time
            answers = [one.result() for one in asking]
        assert {answer[:2] for answer in answers} == {(503, True)}
        assert max(took for *_, took in answers) < in_time
        # Each process of the gateway finds out for itself.
        list(pool.map(ask_until_answered, range(200)))


def test_a_service_that_is_killed_serves_again_and_keeps_its_bookings(box: Box) -> None:
    concert = box.on_sale(box.organiser())
    buyer = box.register()
    booking = buyer.book(concert["id"]).json()
    before = processes(box)
    killed = [name for name in before if name.startswith(("booking_svc", "mailer_svc", "relay"))]
    assert len(killed) == 4
    for name in killed:
        os.kill(before[name], signal.SIGKILL)
    key = str(uuid.uuid4())
    poll(lambda: buyer.book(concert["id"], key=key).status_code == 201, seconds=30, every=0.2)
    assert buyer.get(f"/v1/bookings/{booking['id']}").json()["status"] == "confirmed"
    poll(lambda: all(_mail_sent(b) for b in buyer.get("/v1/bookings").json()["items"]), seconds=30)
    after = processes(box)
    assert all(after[name] != before[name] for name in killed)


def test_a_booking_service_that_is_killed_again_and_again_books_each_request_once(box: Box) -> None:
    """A killed process' requests go to the other one, which takes them up where they were."""
    concert = box.on_sale(box.organiser(), capacity=10_000, max_tickets_per_user=100)
    buyers = [box.register() for _ in range(40)]

    def kill() -> None:
        pids = poll(lambda: pids_of(box, "booking_svc", 2), seconds=20)
        os.kill(random.choice(pids), signal.SIGKILL)

    with again_and_again(kill, every=1.0, at_most=4) as times:
        answers = sell(box, concert["id"], buyers, until=lambda: times() == 4)
    assert {answer.status_code for answer in answers} == {201}
    told = [answer.json()["id"] for answer in answers]
    listed = {b["id"] for buyer in buyers for b in all_bookings(buyer)}
    assert len(told) == len(set(told)) == len(listed) and set(told) == listed
    poll(lambda: box.available(concert["id"]) == 10_000 - len(told), seconds=20, every=0.2)


@pytest.mark.parametrize("how", ["emptied", "killed"])
def test_the_inventory_lost_again_and_again_sells_nothing_twice_and_loses_nothing(box: Box, how: str) -> None:
    concert = box.on_sale(box.organiser(), capacity=300, max_tickets_per_user=100)
    buyers = [box.register() for _ in range(4)]

    def lose() -> None:
        if how == "killed":
            os.kill(poll(lambda: processes(box).get("redis"), seconds=20), signal.SIGKILL)
        else:
            with Redis.from_url(box.stack.redis_url) as redis:
                redis.flushall()  # our own, for this run

    with again_and_again(lose, every=1.0, at_most=4) as times:
        answers = sell(box, concert["id"], buyers, until=lambda: times() == 4)
    told = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    listed = {b["id"] for buyer in buyers for b in all_bookings(buyer)}
    assert len(told) == len(set(told)) and set(told) == listed
    refused = [answer for answer in answers if answer.status_code != 201]
    assert not refused or len(told) == 300, "sold out is said though it is not"
    poll(box.stack.is_ready, seconds=20, every=0.2)
    poll(lambda: box.available(concert["id"]) == 300 - len(told), seconds=20, every=0.2)


def sell(box: Box, concert_id: str, buyers: list[Person], until: Callable[[], bool]) -> list[httpx.Response]:
    """The last answers to requests for a ticket each, by four buyers at once, who insist, until it is time."""

    def buy(number: int) -> list[httpx.Response]:
        ours, answers = cycle(buyers[number::4]), []
        while not until():
            answers.append(insist(next(ours), concert_id))
        return answers

    with ThreadPoolExecutor(4) as pool:
        return [answer for answers in pool.map(buy, range(4)) for answer in answers]


def all_bookings(buyer: Person) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        page = buyer.get("/v1/bookings", params=params).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_a_mail_server_that_was_away_gets_the_mail_later(box: Box) -> None:
    concert = box.on_sale(box.organiser())
    buyer = box.register()
    with frozen(processes(box)["smtp"]):
        booking = buyer.book(concert["id"]).json()
        assert booking["confirmation_mail"]["state"] == "queued"
    # A try that failed is made again after 5 s, then after 10, 20, ...
    poll(lambda: _mail_sent(buyer.get(f"/v1/bookings/{booking['id']}").json()), seconds=100, every=0.2)


def _mail_sent(booking: dict[str, Any]) -> bool:
    return bool(booking["confirmation_mail"]["state"] == "sent")
