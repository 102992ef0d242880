"""What logins cost those who book, what a flood of them costs, and what the time of a refusal tells."""

import random
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.api_client import PASSWORD, Box, Person, insist

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def raw(box: Box) -> httpx.Client:
    """A client of its own, which checks nothing and so takes no time."""
    return httpx.Client(base_url=box.stack.api_url, timeout=20)


def log_in(client: httpx.Client, email: str, password: str = PASSWORD) -> int:
    return client.post("/v1/auth/login", json={"email": email, "password": password}).status_code


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def book_steadily(box: Box, buyers: list[Person], concert: str, seconds: float, each_second: float) -> list[float]:
    """Seconds that each booking took, begun at a fixed pace whatever the answers: a queue cannot hide."""
    took: list[float] = []
    client = raw(box)

    def book(buyer: Person, due: float) -> None:
        body = {"concert_id": concert, "items": [{"ticket_type": "standing", "quantity": 1}]}
        headers = {**buyer.authorization, "Idempotency-Key": uuid.uuid4().hex}
        answer = client.post("/v1/bookings", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        took.append(time.monotonic() - due)

    begin, waiting = time.monotonic(), []
    with ThreadPoolExecutor(32) as threads:
        for number in range(int(seconds * each_second)):
            due = begin + number / each_second
            time.sleep(max(0.0, due - time.monotonic()))
            waiting.append(threads.submit(book, buyers[number % len(buyers)], due))
        for one in waiting:
            one.result()
    return took


class Beside:
    """Calls *work* so many times a second, in the background of the block."""

    def __init__(self, work: Callable[[int], Any], each_second: float, threads: int) -> None:
        self._work, self._pause = work, 1 / each_second
        self._over, self._threads = threading.Event(), ThreadPoolExecutor(threads)
        self._feeder = threading.Thread(target=self._feed)
        self.results: list[Any] = []

    def _feed(self) -> None:
        number, due = 0, time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            self._threads.submit(lambda n=number: self.results.append(self._work(n)))  # type: ignore[misc]
            number, due = number + 1, due + self._pause

    def __enter__(self) -> "Beside":
        self._feeder.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._feeder.join()
        self._threads.shutdown(cancel_futures=True)


def test_time_of_a_refusal_does_not_tell_whether_an_address_is_known(box: Box) -> None:
    """500 of each, in random order, one at a time; ten tries an account, so that nobody has to wait."""
    known = [box.register().user["email"] for _ in range(56)]
    unknown = [f"{uuid.uuid4().hex}@example.org" for _ in known]
    tries = [(kind, email) for kind, emails in (("known", known), ("unknown", unknown)) for email in emails * 9]
    random.shuffle(tries)
    took: dict[str, list[float]] = {"known": [], "unknown": []}
    with raw(box) as client:
        for kind, email in tries:
            began = time.perf_counter()
            assert log_in(client, email, "not the password") == 401
            took[kind].append(time.perf_counter() - began)
    medians = {kind: statistics.median(times) * 1000 for kind, times in took.items()}
    print(f"\nlogin refused, median of {len(took['known'])} each: {medians}")
    assert abs(medians["known"] - medians["unknown"]) / medians["known"] < 0.05


def test_time_of_a_reset_does_not_tell_whether_an_address_is_known(box: Box) -> None:
    known = [box.register().user["email"] for _ in range(60)]
    unknown = [f"{uuid.uuid4().hex}@example.org" for _ in known]
    tries = [(kind, email) for kind, emails in (("known", known), ("unknown", unknown)) for email in emails * 5]
    random.shuffle(tries)
    took: dict[str, list[float]] = {"known": [], "unknown": []}
    with raw(box) as client:
        for kind, email in tries:
            began = time.perf_counter()
            assert client.post("/v1/auth/password-reset", json={"email": email}).status_code == 202
            took[kind].append(time.perf_counter() - began)
    medians = {kind: statistics.median(times) * 1000 for kind, times in took.items()}
    print(f"\nreset asked for, median of {len(took['known'])} each: {medians}")
    assert abs(medians["known"] - medians["unknown"]) / medians["known"] < 0.15


def test_ten_logins_a_second_do_not_slow_bookings(box: Box) -> None:
    """In turns, so that what else the machine does falls on both alike."""
    concert = box.on_sale(box.organiser(), capacity=100_000, max_tickets_per_user=100)["id"]
    buyers = [box.register() for _ in range(40)]
    emails = [box.register().user["email"] for _ in range(30)]
    book_steadily(box, buyers, concert, seconds=5, each_second=20)  # everything is warm
    alone: list[float] = []
    beside: list[float] = []
    logins: list[int] = []
    client = raw(box)
    for _ in range(4):
        alone += book_steadily(box, buyers, concert, seconds=10, each_second=20)
        with Beside(lambda n: log_in(client, emails[n % len(emails)]), each_second=10, threads=16) as background:
            beside += book_steadily(box, buyers, concert, seconds=10, each_second=20)
        logins += background.results
    figures = {part: (percentile(alone, part) * 1000, percentile(beside, part) * 1000) for part in (0.5, 0.95, 0.99)}
    print(f"\nbookings, ms alone and beside {len(logins)} logins in 40 s: {figures}")
    assert logins.count(200) > 300, "the logins went on"
    assert figures[0.99][1] <= figures[0.99][0] * 1.2


def test_flood_of_logins_is_shed_while_bookings_go_on(box: Box) -> None:
    concert = box.on_sale(box.organiser(), capacity=100_000, max_tickets_per_user=100)["id"]
    buyers = [box.register() for _ in range(20)]
    client = raw(box)

    def guess(_: int) -> tuple[int, float]:
        began = time.monotonic()
        return log_in(client, f"{uuid.uuid4().hex}@example.org", "not the password"), time.monotonic() - began

    took: list[float] = []
    with Beside(guess, each_second=100, threads=40) as flood:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            began = time.monotonic()
            assert insist(buyers[len(took) % len(buyers)], concert).status_code == 201
            took.append(time.monotonic() - began)
    statuses = [status for status, _ in flood.results]
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    longest = max(seconds for _, seconds in flood.results)
    median, p99 = statistics.median(took) * 1000, percentile(took, 0.99) * 1000
    print(f"\nflood: {len(statuses)} logins in 20 s: {counts}, the longest {longest:.1f} s")
    print(f"meanwhile {len(took)} bookings one after the other, median {median:.0f} ms, p99 {p99:.0f} ms")
    assert set(counts) == {401, 503} and counts[503] > counts[401]
    assert longest < 5
    assert max(took) < 5, "every request is answered within five seconds"
