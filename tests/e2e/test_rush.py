"""Everyone wants the same ticket in the same second."""

import asyncio
import random
import resource
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import httpx
import pytest
from redis import Redis

from tests.e2e.api_client import Box, Person, insist
from tests.harm import again_and_again


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


# --- the long form: `make test-long`

UNITS, ATTEMPTS, ROUNDS = 200, 2000, 20


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flushed", [False, True], ids=["undisturbed", "redis flushed every second"])
def test_two_thousand_at_once_want_two_hundred_tickets_twenty_times(
    box: Box, flushed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    organiser, buyers = box.organiser(), [box.register() for _ in range(50)]
    for number in range(1, ROUNDS + 1):
        concert = box.on_sale(organiser, capacity=UNITS, max_tickets_per_user=100)
        began = time.monotonic()
        harm = again_and_again(lambda: flush(box), every=1.0) if flushed else nullcontext()
        with harm as flushes:
            codes, again = asyncio.run(all_want_one(box, buyers, concert["id"]))
        took = time.monotonic() - began
        with capsys.disabled():
            said = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
            lost = f", Redis flushed {flushes()} times" if flushes else ""
            print(f"  round {number:2}: {said}; {took:.1f} s, {again} sent again{lost}", flush=True)
        assert codes == {"201": UNITS, "sold_out": ATTEMPTS - UNITS}
        assert box.available(concert["id"]) == 0
        box.stack.must_be_sound()


async def all_want_one(box: Box, buyers: list[Person], concert_id: str) -> tuple[Counter[str], int]:
    """The final answers by code, and how many requests were sent again; every request has a connection of its own."""
    sent_again = 0
    limits = httpx.Limits(max_connections=ATTEMPTS, max_keepalive_connections=ATTEMPTS)

    async def want(client: httpx.AsyncClient, buyer: Person) -> str:
        nonlocal sent_again
        headers = {**buyer.authorization, "Idempotency-Key": str(uuid.uuid4())}
        body = {"concert_id": concert_id, "items": [{"ticket_type": "standing", "quantity": 1}]}
        while True:
            try:
                answer = await client.post("/v1/bookings", json=body, headers=headers)
            except httpx.TransportError:  # nobody knows whether it is booked; the key does
                sent_again += 1
                continue
            code = "201" if answer.status_code == 201 else answer.json()["code"]
            if code not in ("unavailable", "request_in_progress"):
                return str(code)
            sent_again += 1
            await asyncio.sleep(int(answer.headers["Retry-After"]) * random.uniform(1, 2))

    async with httpx.AsyncClient(base_url=box.stack.api_url, timeout=60, limits=limits) as client:
        answers = await asyncio.gather(*(want(client, buyers[n % len(buyers)]) for n in range(ATTEMPTS)))
    return Counter(answers), sent_again


def flush(box: Box) -> None:
    """Empties the inventory's Redis, which is our own for this run."""
    with Redis.from_url(box.stack.redis_url) as redis:
        redis.flushall()
