import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, cast

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from booking_svc.contract import LimitReached, SalesClosed, SoldOut
from booking_svc.counts import Count, Counts
from booking_svc.holds import Holds
from booking_svc.marks import mark_of
from booking_svc.scripts import CountDue, NotLoaded, Scripts, SeatsTaken, concert_key
from rabbitmq import redis_server
from rabbitmq.times import from_wire
from tests.integration.booking_svc.crowd import all_at_once
from tests.integration.booking_svc.keys import copy, forget, roll_back
from tests.polling import poll
from tests.unit.booking_svc.concerts import hall, items, new_id, seats, terms
from tests.unit.booking_svc.holds_contract import HoldsContract, Stall, raises

UNITS, CROWD = 50, 32


class TestHolds(HoldsContract):
    pass


@pytest.fixture
def stall(holds: Holds, counts: Counts, concert_id: str) -> Callable[..., Stall]:
    def open_stall(**on_sale: object) -> Stall:
        stall = Stall(holds, counts, terms(concert_id, **on_sale))  # type: ignore[arg-type]
        stall.load()
        return stall

    return open_stall


# --- the keys


def test_on_sale_lives_until_sales_close(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall(closes_in=timedelta(days=60))
    closes = from_wire(shop.offer.terms["sales_close_at"]).timestamp() * 1000
    assert redis.pexpiretime(concert_key(shop.id, "on_sale")) == pytest.approx(closes, abs=1)


def test_sales_are_closed_when_on_sale_has_expired(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall(closes_in=timedelta(milliseconds=300))
    poll(lambda: not redis.exists(concert_key(shop.id, "on_sale")))
    poll(lambda: shop.refused("ada", items(standing=1), SalesClosed))


def test_sales_are_closed_though_on_sale_is_left(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall(closes_in=timedelta(0))
    redis.set(concert_key(shop.id, "on_sale"), 1)
    assert shop.refused("ada", items(standing=1), SalesClosed)


def test_keys_of_a_concert_share_a_hash_slot(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall(capacities={"standing": 3}, seating={"balcony": hall("1", accessible_seats=["B-1-1"])})
    count = shop.counts.begin(shop.id)
    assert count is not None
    shop.sell("b", "ada", items(standing=1))
    shop.hold("h", "bob", items(standing=1, balcony=1))
    keys = [key.decode() for key in redis.scan_iter(match=f"*{shop.id}*", count=1000)]
    kinds = {key.removeprefix(f"{{{shop.id}}}:").split(":")[0] for key in keys}
    assert kinds == {
        *("terms", "on_sale", "taken", "owners", "buyers", "holds", "expiries", "rows", "accessible"),
        *("searched", "counting", "journal"),
    }
    assert len({key_slot(key.encode()) for key in keys}) == 1


def test_nothing_is_left_of_a_count(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall()
    shop.load()
    left = {key.decode().removeprefix(f"{{{shop.id}}}:").split(":")[0] for key in redis.scan_iter(f"*{shop.id}*")}
    assert not {"counting", "journal", "staged"} & left


def test_what_a_dead_counter_leaves_behind_vanishes(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall()
    count = shop.counts.begin(shop.id)
    assert count is not None

    def die() -> Iterator[tuple[str, list[str]]]:
        redis.delete(concert_key(shop.id, "counting"))
        yield "b", ["unit:standing:1", "buyer:ada:1"]

    assert not shop.counts.load(count, shop.offer, die())
    staged = list(redis.scan_iter(f"{{{shop.id}}}:staged:*"))
    assert staged and all(0 < redis.ttl(key) <= 60 for key in staged)


@pytest.mark.parametrize("is_alive", [True, False])
def test_count_takes_as_long_as_mongodb_needs_while_its_process_lives(
    stall: Callable[..., Stall], redis: Redis, monkeypatch: pytest.MonkeyPatch, is_alive: bool
) -> None:
    monkeypatch.setattr("booking_svc.counts.LEASE", 150)
    monkeypatch.setattr("booking_svc.counts.BEAT", 20)
    shop = stall()
    count = shop.counts.begin(shop.id)
    assert count is not None

    def slow() -> Iterator[tuple[str, list[str]]]:
        poll(lambda: redis.time()[0] * 1000 + redis.time()[1] / 1000 > count.begun + 600)
        yield "b", ["unit:standing:1", "buyer:ada:1"]

    with shop.counts.alive(count) if is_alive else nullcontext():
        assert shop.counts.load(count, shop.offer, slow()) is is_alive


@pytest.mark.long
def test_concert_with_a_hundred_thousand_holds_is_counted(stall: Callable[..., Stall], redis: Redis) -> None:
    many = 100_000
    shop = stall(capacities={"standing": 2 * many})
    shop.hold("h", "ada", items(standing=1))
    record = json.loads(cast(bytes, redis.hget(concert_key(shop.id, "holds"), shop.made["h"].mark)))
    others = range(2, many + 1)
    # What they own is brought as if bookings owned it; then the holds follow.
    shop.load((f"hold {n}", [f"unit:standing:{n}", f"buyer:buyer {n}:1"]) for n in others)
    for some in range(2, many + 1, 1000):
        holds = {
            mark_of(f"hold {n}"): json.dumps(
                {**record, "mark": mark_of(f"hold {n}"), "buyer": f"buyer {n}", "units": [["standing", n]]}
            )
            for n in others[some - 2 : some + 998]
        }
        redis.hset(concert_key(shop.id, "holds"), mapping=cast(Any, holds))
        redis.zadd(concert_key(shop.id, "expiries"), dict.fromkeys(holds, record["expires"]))
    shop.load([("b", [f"unit:standing:{2 * many}", "buyer:dee:1"])])
    assert shop.available() == {"standing": many - 1}
    assert redis.hlen(concert_key(shop.id, "holds")) == many + 1  # and the one that stands for nothing


def test_concert_is_forgotten_a_week_after_its_sales_have_closed(stall: Callable[..., Stall], redis: Redis) -> None:
    closes_in = timedelta(hours=1)
    shop = stall(seating={"balcony": hall("1", accessible_seats=["B-1-1"])}, closes_in=closes_in)
    shop.sell("b", "ada", items(standing=1, balcony=2))
    shop.hold("h", "bob", items(standing=1))
    shop.load()
    shop.hold("next", "cy", items(balcony=2))
    lives = {key: redis.ttl(key) for key in redis.scan_iter(f"{concert_key(shop.id)}:*")}
    closed = lives.pop(concert_key(shop.id, "on_sale").encode())
    assert 3590 <= closed <= 3600
    assert len(lives) == 11 and set(lives.values()) <= {closed + 7 * 86400, closed + 7 * 86400 - 1}, lives


def test_nothing_is_left_of_a_hold_that_was_released(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall()
    shop.hold("h", "ada", items(standing=2))
    shop.release_hold("h", "ada")
    assert redis.hkeys(concert_key(shop.id, "buyers")) == redis.hkeys(concert_key(shop.id, "holds")) == [b"-"]
    assert redis.zcard(concert_key(shop.id, "expiries")) == 1
    assert redis.bitcount(concert_key(shop.id, "taken", "standing")) == 1  # bit 0


def test_taken_bit_and_owner_agree(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall(capacities={"standing": 30})
    taken = shop.sell("b", "ada", items(standing=12))
    shop.hold("h", "bob", items(standing=5))
    shop.holds.release(shop.id, "b", taken)
    shop.hold("h2", "cy", items(standing=3))
    owners = redis.get(concert_key(shop.id, "owners", "standing"))
    bits = redis.get(concert_key(shop.id, "taken", "standing"))
    assert isinstance(owners, bytes) and isinstance(bits, bytes)
    marks = struct.unpack(f"{len(owners) // 8}Q", owners)
    numbers = {number for number in range(len(bits) * 8) if bits[number // 8] & (128 >> number % 8)}
    assert numbers == {number for number, mark in enumerate(marks) if mark}
    assert {owners[n * 8 : n * 8 + 8].decode() for n in numbers - {0}} == {mark_of("h"), mark_of("h2")}


# --- memory


def used_by(redis: Redis, concert_id: str) -> int:
    """Bytes that the concert's keys take in Redis."""
    return sum(redis.memory_usage(key, samples=0) or 0 for key in redis.scan_iter(f"{{{concert_id}}}*", count=1000))


def test_memory_grows_with_what_is_sold_not_with_capacity(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall(capacities={"standing": 100_000})
    shop.load()  # the second count knows that the first one can be trusted
    empty = used_by(redis, shop.id)
    shop.load(on_sale=terms(shop.id, version=2, capacities={"standing": 1_000_000}))
    assert used_by(redis, shop.id) == pytest.approx(empty, abs=100)
    sold = [(new_id(), [f"buyer:{new_id()[:24]}:1", f"unit:standing:{n}"]) for n in range(1, 20_001)]
    shop.load(sold)
    assert (used_by(redis, shop.id) - empty) / 20_000 < 150  # bytes a sold unit, each of another buyer


def test_hold_takes_less_than_a_kilobyte(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall(capacities={"standing": 1000})
    shop.load()  # the second count knows that the first one can be trusted
    empty = used_by(redis, shop.id)
    for number in range(200):
        shop.hold(f"h{number}", new_id()[:24], items(standing=1))
    assert (used_by(redis, shop.id) - empty) / 200 < 1000


# --- losing some of it


@pytest.mark.parametrize("kind", ["terms", "taken:standing", "owners:standing", "buyers", "holds", "expiries"])
def test_concert_of_which_a_key_was_evicted_is_not_loaded(stall: Callable[..., Stall], redis: Redis, kind: str) -> None:
    shop = stall()
    taken = shop.sell("b", "ada", items(standing=1))
    shop.hold("h", "bob", items(standing=1))
    assert redis.delete(concert_key(shop.id, kind))
    for ask in (lambda: shop.hold("next", "cy", items(standing=1)), shop.available):
        assert raises(NotLoaded, ask)
    shop.holds.release(shop.id, "b", taken)  # makes no key that would hide the loss
    shop.holds.mark_sold(shop.id, "b", taken)
    assert raises(NotLoaded, shop.available)
    shop.load([("b", shop.offer.claims_of(taken))])
    assert shop.available()["standing"] == (2 if kind == "holds" else 1)


def test_on_sale_that_was_lost_is_not_taken_for_closed(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall()
    redis.delete(concert_key(shop.id, "on_sale"))
    with pytest.raises(NotLoaded):
        shop.hold("h", "ada", items(standing=1))


def test_copy_of_another_redis_process_is_not_believed(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall()
    redis.hset(concert_key(shop.id, "terms"), "run", "0" * 40)
    with pytest.raises(NotLoaded):
        shop.hold("h", "ada", items(standing=1))


def test_count_is_void_when_redis_is_emptied_under_it(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall()
    count = shop.counts.begin(shop.id)
    assert count is not None

    def read_while_redis_is_emptied() -> Iterator[tuple[str, list[str]]]:
        forget(redis, shop.id)
        yield "b", ["unit:standing:1", "buyer:ada:1"]

    assert not shop.counts.load(count, shop.offer, read_while_redis_is_emptied())
    with pytest.raises(NotLoaded):
        shop.available()


def test_count_is_void_when_what_changed_hands_meanwhile_is_lost(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall()
    taken = shop.sell("b", "ada", items(standing=3))
    count = shop.counts.begin(shop.id)
    assert count is not None
    shop.holds.release(shop.id, "b", taken)
    redis.delete(concert_key(shop.id, "journal"))
    assert not shop.counts.load(count, shop.offer, [("b", shop.offer.claims_of(taken))])
    assert shop.available()["standing"] == 3


def test_count_is_void_when_a_piece_of_it_is_lost(
    stall: Callable[..., Stall], redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = stall(capacities={"standing": 2500})
    count = shop.counts.begin(shop.id)
    assert count is not None
    sold = [(new_id(), [f"buyer:{n}:1", f"unit:standing:{n}"]) for n in range(1, 2501)]
    live, lost = shop.counts._live, list[int]()

    def lose_the_first_piece(count: Count) -> None:
        live(count)
        if not any(lost):
            lost.append(redis.delete(concert_key(shop.id, "staged", count.token, "buyers")))

    monkeypatch.setattr(shop.counts, "_live", lose_the_first_piece)
    assert not shop.counts.load(count, shop.offer, sold)
    assert sum(lost) == 1


def test_concert_is_counted_again_when_writes_under_way_at_its_loss_have_ended(
    stall: Callable[..., Stall], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("booking_svc.counts.SETTLING", 300)
    shop = stall()  # nothing was there before, so this is how it is loaded after a loss
    poll(lambda: raises(CountDue, shop.available))
    shop.load()
    assert shop.available()["standing"] == 3


def test_rolled_back_hold_that_was_sold_is_lost_at_the_next_count(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall()
    held = shop.hold("h", "ada", items(standing=2))
    kept = copy(redis, shop.id)
    shop.begin_booking("h", "ada", "b")
    shop.settle("b", "h")
    roll_back(redis, shop.id, kept)
    assert shop.find("h", "ada") == held
    shop.load([("b", shop.offer.claims_of(held.taken))])
    assert shop.available()["standing"] == 1


def test_many_holds_that_have_expired_are_all_free_at_one_look(stall: Callable[..., Stall], redis: Redis) -> None:
    shop = stall(capacities={"standing": 260})
    expired = {shop.hold(f"h{n}", f"buyer {n}", items(standing=1)).mark: 1 for n in range(250)}
    redis.zadd(concert_key(shop.id, "expiries"), expired)
    assert shop.available() == {"standing": 260}


# --- many at once


def test_crowd_gets_each_unit_once(stall: Callable[..., Stall]) -> None:
    shop = stall(capacities={"standing": UNITS})
    shop.load()

    def take(owner: str) -> int:
        return shop.hold(owner, owner, items(standing=1)).taken.units[0].number

    assert sorted(rush(take)) == list(range(1, UNITS + 1))
    assert shop.available() == {"standing": 0}


def test_crowd_gets_each_seat_once_and_neighbours_sit_together(stall: Callable[..., Stall]) -> None:
    shop = stall(capacities={}, seating={"balcony": hall(*"12345", seats_per_row=10)})
    shop.load()
    pairs: list[list[int]] = []

    def take(owner: str) -> int:
        pair = [unit.number for unit in shop.hold(owner, owner, items(balcony=2)).taken.units]
        pairs.append(pair)
        return pair[0]

    rush(take)
    assert sorted(number for pair in pairs for number in pair) == list(range(1, 51))
    assert all(second == first + 1 for first, second in pairs)


def test_crowd_would_get_units_twice_without_the_script(redis: Redis, concert_id: str) -> None:
    def rush_at_a_counter() -> list[int]:
        counter = f"{{{concert_id}}}:naive:{new_id()}"

        def take(_: str) -> int:
            taken = int(redis.get(counter) or 0)  # type: ignore[arg-type]
            if taken >= UNITS:
                raise SoldOut
            redis.set(counter, taken + 1)
            return taken + 1

        return rush(take)

    assert any(has_doubles(rush_at_a_counter()) for _ in range(5)), "the race above shows nothing"


def test_crowd_wants_the_same_seat_and_one_gets_it(stall: Callable[..., Stall]) -> None:
    shop = stall(seating={"balcony": hall("1")})
    shop.load()
    wanted = seats("balcony", "B-1-3", "B-1-4")
    answers = all_at_once(CROWD, lambda n: raises(SeatsTaken, lambda: shop.hold(f"h{n}", f"buyer {n}", wanted)))
    assert answers.count(False) == 1
    assert shop.states() == {"balcony": "aahhaa"}


def test_crowd_of_one_buyer_stays_within_the_limit(stall: Callable[..., Stall]) -> None:
    shop = stall(capacities={"standing": UNITS}, limit=4)
    shop.load()
    asked = all_at_once(CROWD, lambda n: raises(LimitReached, lambda: shop.hold(f"h{n}", "ada", items(standing=1))))
    assert asked.count(False) == 4
    assert shop.available() == {"standing": UNITS - 4}


# --- a Redis that does not answer


class Silence:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"

    def connections(self) -> int:
        """How many have come so far."""
        self._socket.setblocking(False)
        count = 0
        while True:
            try:
                self._socket.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def silence() -> Iterator[Silence]:
    silence = Silence()
    yield silence
    silence.close()


def ask_to_hold(url: str) -> float:
    """Seconds until it is known that there is no answer."""
    began = time.monotonic()
    with pytest.raises(RedisError):
        Holds(Scripts(redis_server.connect(url))).availability("concert")
    return time.monotonic() - began


def test_silent_redis_is_a_fault_within_a_second_and_asked_once(silence: Silence) -> None:
    assert ask_to_hold(silence.url) < 1
    assert silence.connections() == 1


def test_absent_redis_is_a_fault_at_once(silence: Silence) -> None:
    silence.close()
    assert ask_to_hold(silence.url) < 1


def rush(take: Callable[[str], int]) -> list[int]:
    """The units that a crowd gets, each of them taking one after another until there are none."""

    def take_all(number: int) -> list[int]:
        taken: list[int] = []
        while True:
            try:
                taken.append(take(f"{number}-{len(taken)}"))
            except SoldOut:
                return taken

    return [unit for taken in all_at_once(CROWD, take_all) for unit in taken]


def has_doubles(units: list[int]) -> bool:
    return len(set(units)) < len(units)
