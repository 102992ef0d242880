"""Everyone wants the last ticket, through two processes' worth of box offices, while things break."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pymongo.database import Database
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import RedisError

from booking_svc.bookings import Bookings
from booking_svc.box_office import BoxOffice
from booking_svc.contract import LimitReached, RequestInProgress, SoldOut
from booking_svc.domain import BookingDocument
from booking_svc.holds import Holds
from booking_svc.terms import Terms
from rabbitmq.database import Document
from rabbitmq.errors import Unavailable
from tests.integration.booking_svc.crowd import all_at_once
from tests.integration.booking_svc.keys import forget
from tests.polling import poll
from tests.unit.booking_svc.concerts import items, new_id, terms
from tests.unit.booking_svc.holds_contract import available

UNITS, BUYERS, ATTEMPTS = 200, 60, 10
#: Seconds in which a request with the same key gets its answer, whatever breaks meanwhile.
ANSWERED = 30.0


@pytest.fixture
def offices(mongo: Database[Document], redis: Redis) -> list[BoxOffice]:
    return [BoxOffice(Holds(redis), Bookings(mongo), Terms(mongo)) for _ in range(2)]


def test_all_units_are_sold_and_none_twice(
    offices: list[BoxOffice], bookings: Bookings, holds: Holds, concert_id: str
) -> None:
    offices[0].set_terms(terms(concert_id, capacities={"standing": UNITS}, limit=ATTEMPTS))
    answers = rush(offices, concert_id)
    assert Counter(answer is not None for answer in answers) == {True: UNITS, False: BUYERS * ATTEMPTS - UNITS}
    assert sold_units(bookings, concert_id) == {f"unit:standing:{number}" for number in range(1, UNITS + 1)}
    assert acknowledged(answers) == {owner for owner, _ in bookings.sold(concert_id)}
    assert available(holds, concert_id) == {"standing": 0}


def test_emptying_redis_in_the_middle_sells_no_unit_twice_and_loses_none(
    offices: list[BoxOffice], bookings: Bookings, holds: Holds, redis: Redis, concert_id: str
) -> None:
    on_sale = terms(concert_id, capacities={"standing": UNITS}, limit=ATTEMPTS)
    offices[0].set_terms(on_sale)
    with again_and_again(lambda: forget(redis, concert_id)) as times:
        answers = rush(offices, concert_id)
    assert times() >= 5, "Redis was emptied too seldom to show anything"
    units = sold_units(bookings, concert_id)
    assert units <= {f"unit:standing:{number}" for number in range(1, UNITS + 1)}
    assert acknowledged(answers) == {owner for owner, _ in bookings.sold(concert_id)}

    forget(redis, concert_id)
    for _ in range(UNITS - len(units)):
        assert book(offices[0], concert_id, new_id())
    assert book(offices[0], concert_id, new_id()) is None
    assert len(sold_units(bookings, concert_id)) == UNITS
    assert available(holds, concert_id) == {"standing": 0}


def test_emptying_redis_in_the_middle_would_sell_units_twice_without_the_index(
    new_database: Callable[[], Database[Document]], redis: Redis, concert_id: str
) -> None:
    database = new_database()
    unguarded = Bookings(database)
    database["bookings"].drop_index("one_owner_per_claim")
    office = BoxOffice(Holds(redis), unguarded, Terms(database))
    office.set_terms(terms(concert_id, capacities={"standing": UNITS}, limit=ATTEMPTS))
    with again_and_again(lambda: forget(redis, concert_id)):
        rush([office, office], concert_id)
    with pytest.raises(AssertionError, match="sold twice"):
        sold_units(unguarded, concert_id)


def test_new_terms_in_the_middle_sell_no_unit_twice_and_lose_none(
    offices: list[BoxOffice], bookings: Bookings, holds: Holds, concert_id: str
) -> None:
    on_sale = terms(concert_id, capacities={"standing": UNITS}, limit=ATTEMPTS)
    offices[0].set_terms(on_sale)
    with again_and_again(lambda: offices[1].set_terms(on_sale)) as times:
        answers = rush(offices, concert_id)
    assert times() >= 5, "terms were set too seldom to show anything"
    assert len(sold_units(bookings, concert_id)) == UNITS
    assert acknowledged(answers) == {owner for owner, _ in bookings.sold(concert_id)}
    offices[0].set_terms(on_sale)
    assert available(holds, concert_id) == {"standing": 0}


def test_booking_and_cancelling_in_a_rush_loses_no_unit(
    offices: list[BoxOffice], bookings: Bookings, holds: Holds, concert_id: str
) -> None:
    offices[0].set_terms(terms(concert_id, capacities={"standing": 10}))

    def change_ones_mind(number: int) -> int:
        office, buyer, cancelled = offices[number % 2], new_id(), 0
        for _ in range(8):
            booking = book(office, concert_id, buyer)
            if booking is not None:
                office.cancel(buyer, booking["_id"])
                cancelled += 1
        return cancelled

    assert sum(all_at_once(24, change_ones_mind)) > 10
    assert sold_units(bookings, concert_id) == set()
    assert available(holds, concert_id) == {"standing": 10}


def test_one_key_in_a_rush_is_one_booking(
    offices: list[BoxOffice], bookings: Bookings, holds: Holds, redis: Redis, concert_id: str
) -> None:
    offices[0].set_terms(terms(concert_id, capacities={"standing": UNITS}))
    for _ in range(5):
        buyer, key = new_id(), new_id()
        answers = all_at_once(16, lambda number: book(offices[number % 2], concert_id, buyer, key))  # noqa: B023
        assert len(acknowledged(answers)) == 1
    assert len(list(bookings.sold(concert_id))) == 5
    assert available(holds, concert_id) == {"standing": UNITS - 5}


def test_one_buyer_in_a_rush_stays_within_the_limit_though_redis_is_emptied(
    offices: list[BoxOffice], bookings: Bookings, redis: Redis, concert_id: str
) -> None:
    offices[0].set_terms(terms(concert_id, capacities={"standing": UNITS}, limit=7))
    with again_and_again(lambda: forget(redis, concert_id)):
        all_at_once(24, lambda number: [book(offices[number % 2], concert_id, "ada") for _ in range(3)])
    assert len(sold_units(bookings, concert_id)) == 7


def rush(offices: list[BoxOffice], concert_id: str) -> list[BookingDocument | None]:
    """What each of BUYERS is answered, each of them asking ATTEMPTS times for one ticket."""

    def buy(number: int) -> list[BookingDocument | None]:
        buyer = new_id()
        return [book(offices[number % 2], concert_id, buyer) for _ in range(ATTEMPTS)]

    return [answer for answers in all_at_once(BUYERS, buy) for answer in answers]


def book(office: BoxOffice, concert_id: str, buyer: str, key: str | None = None) -> BookingDocument | None:
    """One ticket; None when there is none, or none for this buyer. Asks again, with the same key, until it is told."""
    key = key or new_id()

    def answer() -> list[BookingDocument | None]:
        try:
            return [office.book(buyer, key, concert_id, items(standing=1))[0]]
        except (SoldOut, LimitReached):
            return [None]
        except (Unavailable, RequestInProgress, RedisError, PyMongoError):
            return []

    return poll(answer, ANSWERED)[0]


def sold_units(bookings: Bookings, concert_id: str) -> set[str]:
    """The units of all confirmed bookings; fails when one was sold twice."""
    units = [claim for _, claims in bookings.sold(concert_id) for claim in claims if claim.startswith("unit:")]
    assert len(set(units)) == len(units), "sold twice"
    return set(units)


def acknowledged(answers: list[BookingDocument | None]) -> set[str]:
    return {answer["_id"] for answer in answers if answer is not None}


@contextmanager
def again_and_again(act: Callable[[], object], every: float = 0.02) -> Iterator[Callable[[], int]]:
    """Do *act* every so many seconds until the block ends; gives how often it was done."""
    done, times = threading.Event(), 0

    def go_on() -> None:
        nonlocal times
        while not done.wait(every):
            try:
                act()
            except (RedisError, PyMongoError):  # the machine is busy
                continue
            times += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield lambda: times
    finally:
        done.set()
        thread.join()
