"""
Redis emptied, restarted, rolled back, evicting, out of memory, frozen past a lock's life: no double sale, no lost unit,
no false sold-out, nobody past the limit, and the next request is served.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymongo.database import Database
from redis.exceptions import RedisError

from booking_svc.audit.reading import Audit
from booking_svc.contract import HoldExpired, LimitReached, RequestInProgress, SoldOut
from booking_svc.domain import BookingDocument, HoldKey
from rabbitmq.database import Document
from rabbitmq.errors import Unavailable
from tests.harm import again_and_again
from tests.integration.booking_svc.crowd import all_at_once
from tests.integration.booking_svc.own_redis import OwnRedis
from tests.integration.booking_svc.process import Process
from tests.polling import poll
from tests.unit.booking_svc.concerts import hall, items, new_id, terms

UNITS = 120


class Shop:
    """Two processes that sell a concert on a Redis of their own."""

    def __init__(self, redis: OwnRedis, mongo: Database[Document]) -> None:
        self.redis, self.mongo, self.id = redis, mongo, new_id()
        self.processes = [Process(redis.client, mongo) for _ in range(2)]
        self.process = self.processes[0]
        self.process.inventory.set_terms(
            terms(self.id, capacities={"standing": UNITS}, limit=6, seating={"stalls": hall("1")})
        )

    def book(self, number: int = 0, buyer: str | None = None, quantity: int = 1) -> BookingDocument | None:
        """What one is answered in the end, asking with the same key until then."""
        buyer, key, office = buyer or new_id(), new_id(), self.processes[number % 2].box_office

        def answer() -> list[BookingDocument | None]:
            try:
                return [office.book(buyer, key, self.id, items(standing=quantity))[0]]
            except (SoldOut, LimitReached):
                return [None]
            except (RedisError, Unavailable, RequestInProgress):
                return []

        return poll(answer, seconds=30)[0]

    def sell_while(self, harm: Callable[[], None], every: float) -> list[BookingDocument]:
        """All that a crowd buys while *harm* is done again and again; all of them ask for more than there is."""
        with again_and_again(harm, every, at_most=20) as times:
            answers = all_at_once(24, lambda n: [self.book(n) for _ in range(7)])
        assert times() >= 2, "the sale was over before anything happened"
        return [booking for bookings in answers for booking in bookings if booking]

    def must_have_sold_everything(self, told: list[BookingDocument]) -> None:
        sold = {owner for owner, _ in self.process.bookings.sold(self.id)}
        assert {booking["_id"] for booking in told} == sold
        while booking := self.book():
            told.append(booking)
        assert len(told) == UNITS
        assert Audit(self.mongo, self.mongo, self.redis.client, pause=0.05).concert(self.id) == set()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path)
    yield redis
    redis.kill()


@pytest.fixture
def shop(redis: OwnRedis, new_database: Callable[[], Database[Document]]) -> Shop:
    return Shop(redis, new_database())


@pytest.mark.parametrize("how", ["restart", "restart_empty"])
def test_redis_killed_in_the_middle_of_a_sale(shop: Shop, how: str) -> None:
    told = shop.sell_while(getattr(shop.redis, how), every=0.1)
    shop.must_have_sold_everything(told)


def test_redis_rolled_back_in_the_middle_of_a_sale(shop: Shop) -> None:
    kept = shop.redis.copy()
    told = shop.sell_while(lambda: shop.redis.restart_with(kept), every=0.03)
    shop.must_have_sold_everything(told)


def test_old_copy_is_told_from_the_living_one(shop: Shop) -> None:
    hold = shop.process.box_office.hold("ada", new_id(), shop.id, items(standing=2))
    kept = shop.redis.copy()
    shop.process.box_office.book_hold("ada", new_id(), hold["id"])
    assert shop.book(buyer="bob", quantity=3)
    shop.redis.restart_with(kept)
    assert shop.process.available(shop.id)["standing"] == UNITS - 5
    with pytest.raises(HoldExpired):
        shop.process.box_office.find_hold("ada", hold["id"])
    with pytest.raises(LimitReached):
        shop.process.box_office.book("ada", new_id(), shop.id, items(standing=5))


def test_hold_outlives_a_restart_of_redis(shop: Shop) -> None:
    hold = shop.process.box_office.hold("ada", new_id(), shop.id, items(standing=2, stalls=2))
    shop.redis.restart()
    assert poll(lambda: shop.process.box_office.find_hold("ada", hold["id"])) == hold
    booking, _ = shop.process.box_office.book_hold("ada", new_id(), hold["id"])
    assert [t["seat"] for t in booking["tickets"]] == [t["seat"] for t in hold["tickets"]]


def test_redis_evicting_in_the_middle_of_a_sale(shop: Shop) -> None:
    shop.redis.set(maxmemory_policy="allkeys-random")
    used = shop.redis.client.info("memory")["used_memory"]

    def evict() -> None:
        try:
            shop.redis.set(maxmemory=1)
            shop.redis.client.set("filler", "x")
        except RedisError:
            pass
        finally:
            shop.redis.set(maxmemory=used * 2)

    evicted = shop.redis.client.info("stats")["evicted_keys"]
    told = shop.sell_while(evict, every=0.02)
    assert shop.redis.client.info("stats")["evicted_keys"] > evicted
    shop.must_have_sold_everything(told)


def test_redis_out_of_memory_refuses_and_loses_nothing(shop: Shop) -> None:
    booking = shop.book()
    shop.redis.set(maxmemory=1)
    with pytest.raises(RedisError):
        shop.process.box_office.book("ada", "k1", shop.id, items(standing=1))
    shop.redis.set(maxmemory=0)
    shop.process.box_office.book("ada", "k1", shop.id, items(standing=1))
    assert booking and shop.process.available(shop.id)["standing"] == UNITS - 2


def test_redis_frozen_past_a_holds_life(shop: Shop) -> None:
    request = shop.process.inventory.hold_request("ada", shop.id, items(standing=UNITS // 20))
    short = shop.process.holds.place(shop.id, "short", request, life=300)
    with shop.redis.frozen():
        began = time.monotonic()
        with pytest.raises(RedisError):
            shop.process.box_office.book("bob", "k1", shop.id, items(standing=1))
        assert time.monotonic() - began < 1
        poll(lambda: time.monotonic() - began > 0.6)
    with pytest.raises(HoldExpired):
        shop.process.holds.begin_booking(HoldKey(shop.id, "short", short.born), "ada", new_id())
    # What Bob asked of the frozen Redis it has done by now: his retry is the one to get it.
    booking, _ = shop.process.box_office.book("bob", "k1", shop.id, items(standing=1), redelivered=True)
    assert shop.process.available(shop.id)["standing"] == UNITS - 1
    assert [owner for owner, _ in shop.process.bookings.sold(shop.id)] == [booking["_id"]]


def test_sale_goes_on_within_five_seconds_of_redis_return(shop: Shop) -> None:
    for _ in range(3):
        shop.redis.restart_empty()
        began = time.monotonic()
        assert shop.book()
        assert time.monotonic() - began < 5
