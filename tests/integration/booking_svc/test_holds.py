import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from booking_svc.contract import LimitReached, SalesClosed, SoldOut
from booking_svc.holds import Holds, NotLoaded, connect
from rabbitmq.times import from_wire
from tests.integration.booking_svc.crowd import all_at_once
from tests.polling import poll
from tests.unit.booking_svc.concerts import new_id, terms
from tests.unit.booking_svc.holds_contract import HoldsContract, available, refused

UNITS, CROWD = 50, 32


class TestHolds(HoldsContract):
    pass


def test_on_sale_lives_until_sales_close(holds: Holds, redis: Redis, concert_id: str) -> None:
    on_sale = terms(concert_id, closes_in=timedelta(days=60))
    holds.load(on_sale, [])
    closes = from_wire(on_sale["sales_close_at"]).timestamp() * 1000
    assert redis.pexpiretime(f"{{{concert_id}}}:on_sale") == pytest.approx(closes, abs=1)


def test_sales_are_closed_when_on_sale_has_expired(holds: Holds, redis: Redis, concert_id: str) -> None:
    holds.load(terms(concert_id, closes_in=timedelta(milliseconds=300)), [])
    poll(lambda: not redis.exists(f"{{{concert_id}}}:on_sale"))
    assert refused(holds, concert_id, "late", SalesClosed)
    assert holds.is_loaded(concert_id)


def test_sales_are_closed_though_on_sale_is_left(holds: Holds, redis: Redis, concert_id: str) -> None:
    holds.load(terms(concert_id, closes_in=timedelta(0)), [])
    redis.set(f"{{{concert_id}}}:on_sale", 1)
    assert refused(holds, concert_id, "late", SalesClosed)


def test_on_sale_that_was_lost_is_not_taken_for_closed(holds: Holds, redis: Redis, concert_id: str) -> None:
    holds.load(terms(concert_id), [])
    redis.delete(f"{{{concert_id}}}:on_sale")
    assert refused(holds, concert_id, "early", NotLoaded)


def test_keys_of_a_concert_share_a_hash_slot(holds: Holds, redis: Redis, concert_id: str) -> None:
    holds.load(terms(concert_id), [])
    holds.begin_loading(concert_id)
    first = holds.place(concert_id, "first", "ada", {"standing": 2})
    holds.release(concert_id, "first", first.claims)
    holds.place(concert_id, "second", "bob", {"standing": 1})
    keys = [key.decode() for key in redis.scan_iter(match=f"*{concert_id}*", count=1000)]
    kinds = {key.removeprefix(f"{{{concert_id}}}:").split(":")[0] for key in keys}
    assert kinds == {"terms", "on_sale", "claims", "counts", "free", "holds", "hold", "loading"}
    assert len({key_slot(key.encode()) for key in keys}) == 1


def test_nothing_is_left_of_a_hold_that_was_released(holds: Holds, redis: Redis, concert_id: str) -> None:
    holds.load(terms(concert_id), [])
    hold = holds.place(concert_id, "booking", "ada", {"standing": 2})
    holds.release(concert_id, "booking", hold.claims)
    for kind in ("claims", "holds", "hold:booking"):
        assert not redis.exists(f"{{{concert_id}}}:{kind}")


def test_released_units_are_given_again_before_new_numbers(holds: Holds, concert_id: str) -> None:
    holds.load(terms(concert_id, capacities={"standing": 1000}), [])
    given = set()
    for turn in range(20):
        hold = holds.place(concert_id, f"turn {turn}", "ada", {"standing": 2})
        holds.release(concert_id, f"turn {turn}", hold.claims)
        given |= {claim for claim in hold.claims if claim.startswith("unit:")}
    assert given == {"unit:standing:1", "unit:standing:2"}


def test_crowd_gets_each_unit_once(holds: Holds, concert_id: str) -> None:
    holds.load(terms(concert_id, capacities={"standing": UNITS}), [])

    def take(owner: str) -> str:
        return holds.place(concert_id, owner, owner, {"standing": 1}).claims[-1]

    given = rush(take)
    assert sorted(given) == sorted(f"unit:standing:{number}" for number in range(1, UNITS + 1))
    assert available(holds, concert_id) == {"standing": 0}


def test_crowd_would_get_units_twice_without_the_script(redis: Redis, concert_id: str) -> None:
    def rush_at_a_counter() -> list[str]:
        counter = f"{{{concert_id}}}:naive:{new_id()}"

        def take(_: str) -> str:
            taken = int(redis.get(counter) or 0)  # type: ignore[arg-type]
            if taken >= UNITS:
                raise SoldOut
            redis.set(counter, taken + 1)
            return f"unit:standing:{taken + 1}"

        return rush(take)

    assert any(has_doubles(rush_at_a_counter()) for _ in range(5)), "the race above shows nothing"


def test_crowd_of_one_buyer_stays_within_the_limit(holds: Holds, concert_id: str) -> None:
    holds.load(terms(concert_id, capacities={"standing": UNITS}, limit=4), [])
    asked = all_at_once(CROWD, lambda n: refused(holds, concert_id, f"booking {n}", LimitReached, buyer="ada"))
    assert asked.count(False) == 4
    assert available(holds, concert_id) == {"standing": UNITS - 4}


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


def test_silent_redis_is_a_fault_soon_and_asked_once(silence: Silence) -> None:
    began = time.monotonic()
    with pytest.raises(RedisError):
        Holds(connect(silence.url)).place("concert", "booking", "ada", {"standing": 1})
    assert time.monotonic() - began < 2
    assert silence.connections() == 1


def test_absent_redis_is_a_fault_at_once(silence: Silence) -> None:
    silence.close()
    began = time.monotonic()
    with pytest.raises(RedisError):
        Holds(connect(silence.url)).place("concert", "booking", "ada", {"standing": 1})
    assert time.monotonic() - began < 2


def rush(take: Callable[[str], str]) -> list[str]:
    """The units that a crowd gets, each of them taking one after another until there are none."""

    def take_all(number: int) -> list[str]:
        taken: list[str] = []
        while True:
            try:
                taken.append(take(f"{number}-{len(taken)}"))
            except SoldOut:
                return taken

    return [unit for taken in all_at_once(CROWD, take_all) for unit in taken]


def has_doubles(units: list[str]) -> bool:
    return len(set(units)) < len(units)
