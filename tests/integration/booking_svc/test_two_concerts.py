"""One key, used for two concerts: each answers for itself, and neither touches what is the other's."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from pymongo.database import Database
from redis import Redis

from booking_svc import domain
from booking_svc.audit.reading import Audit
from booking_svc.contract import IdempotencyKeyReused, Refusal, SoldOut
from rabbitmq.database import Document
from tests.integration.booking_svc.crowd import all_at_once
from tests.integration.booking_svc.keys import forget
from tests.integration.booking_svc.process import Process
from tests.polling import poll
from tests.unit.booking_svc.concerts import items, new_id, terms
from tests.unit.booking_svc.holds_contract import shorten_busy
from tests.unit.booking_svc.interruptions import Killed, before, die_before

ONE = items(standing=1)


class Town(NamedTuple):
    """Two concerts on sale, *here* and *there*, and two processes that sell both."""

    process: Process
    other: Process
    here: str
    there: str
    audit: Audit

    def is_sound(self) -> bool:
        return not any(self.audit.concert(concert) for concert in (self.here, self.there))


@pytest.fixture
def town(new_database: Callable[[], Database[Document]], redis: Redis) -> Iterator[Callable[..., Town]]:
    made: list[Town] = []

    def make(**on_sale: Any) -> Town:
        mongo = new_database()
        processes = Process(redis, mongo), Process(redis, mongo)
        made.append(Town(*processes, new_id(), new_id(), Audit(mongo, mongo, redis, pause=0.02)))
        for concert in (made[-1].here, made[-1].there):
            processes[0].inventory.set_terms(terms(concert, **{"capacities": {"standing": 5}, **on_sale}))
        return made[-1]

    yield make
    for one in made:
        forget(redis, one.here)
        forget(redis, one.there)


def test_key_used_at_once_for_two_concerts_leaks_nothing(town: Callable[..., Town]) -> None:
    both = town(capacities={"standing": 500}, limit=100)

    def ask(number: int, user: str) -> bool:
        office, concert = ((both.process, both.here), (both.other, both.there))[number]
        try:
            return not office.box_office.book(user, "key", concert, ONE)[1]
        except Refusal:
            return False

    for _ in range(20):
        user = new_id()
        assert sum(all_at_once(2, lambda number: ask(number, user))) == 1  # noqa: B023
    sold = [len(list(both.process.bookings.sold(concert))) for concert in (both.here, both.there)]
    assert sum(sold) == 20
    for concert, number in zip((both.here, both.there), sold, strict=True):
        assert both.process.available(concert) == {"standing": 500 - number}
    assert both.is_sound()


def test_key_that_was_faster_in_another_concert_leaves_all_as_it_was(town: Callable[..., Town]) -> None:
    both = town(capacities={"standing": 2})
    bobs = both.process.box_office.hold("bob", new_id(), both.here, ONE)  # the same number as ada's there
    before(both.process.bookings, "confirm", lambda: both.other.box_office.book("ada", "key", both.there, ONE))
    with pytest.raises(IdempotencyKeyReused):
        both.process.box_office.book("ada", "key", both.here, ONE)
    assert both.process.box_office.find_hold("bob", bobs["id"]) == bobs
    assert both.process.available(both.here) == {"standing": 1}
    both.process.box_office.book("cy", "key", both.here, ONE)
    with pytest.raises(SoldOut):
        both.process.box_office.book("dee", "key", both.here, ONE)
    assert both.is_sound()


def test_booking_that_died_here_is_not_taken_for_the_one_of_the_same_key_there(
    town: Callable[..., Town], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_busy(monkeypatch)
    both = town()
    request = both.process.inventory.hold_request("ada", both.here, ONE)
    both.process.holds.place_for_booking(both.here, domain.booking_id("ada", "key"), request, life=60)  # and dies
    both.process.box_office.book("ada", "key", both.there, ONE)
    poll(lambda: both.process.available(both.here) == {"standing": 5})
    assert both.process.available(both.there) == {"standing": 4}
    assert both.is_sound()


def test_hold_whose_booking_died_is_its_buyers_though_the_key_booked_another_hold_there(
    town: Callable[..., Town], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_busy(monkeypatch)
    both = town()
    here, there = (both.process.box_office.hold("ada", new_id(), c, ONE) for c in (both.here, both.there))
    die_before(both.process.bookings, "confirm")
    with pytest.raises(Killed):
        both.process.box_office.book_hold("ada", "key", here["id"])
    both.other.box_office.book_hold("ada", "key", there["id"])
    poll(lambda: booked_by_another_key(both.other, here["id"]))
    assert both.process.available(both.here) == both.process.available(both.there) == {"standing": 4}
    assert both.is_sound()


def booked_by_another_key(process: Process, hold_id: str) -> bool:
    """Whether the hold was still its buyer's; while its first booking may be at work it is not."""
    try:
        return not process.box_office.book_hold("ada", "another key", hold_id)[1]
    except Refusal:
        return False
