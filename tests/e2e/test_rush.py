"""Everyone wants the same ticket in the same second."""

import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.e2e.api_client import Box, Person


@pytest.fixture(scope="module")
def box(stack: Any) -> Box:
    return Box(stack)


def insist(buyer: Person, concert_id: str) -> httpx.Response:
    """Book as a good client does: a 503 on a busy machine is answered with the same request again."""
    key = str(uuid.uuid4())
    for _ in range(10):
        answer = buyer.book(concert_id, key=key)
        if answer.status_code != 503 and "request_in_progress" not in answer.text:
            break
        time.sleep(int(answer.headers["Retry-After"]))
    return answer


def test_two_hundred_want_thirty_tickets_and_thirty_get_one(box: Box) -> None:
    concert = box.on_sale(box.organiser(), capacity=30, max_tickets_per_user=100)
    buyers = [box.register() for _ in range(8)]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda n: insist(buyers[n % 8], concert["id"]), range(200)))
    assert Counter(a.status_code for a in answers) == {201: 30, 409: 170}
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"sold_out"}
    assert box.available(concert["id"]) == 0


def test_one_buyer_in_a_hurry_stays_within_the_limit(box: Box) -> None:
    concert = box.on_sale(box.organiser(), max_tickets_per_user=4)
    buyer = box.register()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: insist(buyer, concert["id"]), range(40)))
    assert sum(a.status_code == 201 for a in answers) == 4
    assert {a.json()["code"] for a in answers if a.status_code != 201} == {"limit_reached"}


def test_a_request_sent_many_times_at_once_is_one_booking(box: Box) -> None:
    concert = box.on_sale(box.organiser())
    buyer, key = box.register(), str(uuid.uuid4())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: buyer.book(concert["id"], 2, key=key), range(32)))
    assert {a.status_code for a in answers} <= {201, 409}
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"request_in_progress"}
    assert all(a.headers["Retry-After"] for a in answers if a.status_code == 409)
    assert len({a.content for a in answers if a.status_code == 201}) == 1
    assert len(buyer.get("/v1/bookings").json()["items"]) == 1
    assert box.available(concert["id"]) == 98
