from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database
from redis import Redis

from booking_svc import domain
from booking_svc.bookings import Bookings
from booking_svc.box_office import BoxOffice
from booking_svc.contract import AlreadyCancelled, ConcertNotFound, LimitReached, SalesClosed, SoldOut
from booking_svc.holds import Holds
from booking_svc.terms import Terms
from rabbitmq.database import Document
from tests.integration.booking_svc.crowd import all_at_once
from tests.integration.booking_svc.keys import forget
from tests.polling import poll
from tests.unit.booking_svc.bookings_contract import later
from tests.unit.booking_svc.concerts import items, new_id, terms
from tests.unit.booking_svc.holds_contract import ENOUGH, SHORT_LIFE, available


def test_booking_is_sold_in_both_stores(
    box_office: BoxOffice, bookings: Bookings, holds: Holds, concert_id: str
) -> None:
    box_office.set_terms(terms(concert_id))
    booking, replayed = box_office.book("ada", new_id(), concert_id, items(standing=2, balcony=1))
    assert not replayed
    assert list(bookings.sold(concert_id)) == [(booking["_id"], booking["claims"])]
    assert available(holds, concert_id) == {"standing": 1, "balcony": 1}
    assert domain.as_confirmed(booking) == domain.as_booking(booking)


def test_replay_is_the_same_answer_also_after_a_cancel(box_office: BoxOffice, concert_id: str) -> None:
    box_office.set_terms(terms(concert_id))
    user_id, key = new_id(), new_id()
    first, _ = box_office.book(user_id, key, concert_id, items(standing=3))
    again, replayed = box_office.book(user_id, key, concert_id, items(standing=3))
    assert replayed
    assert domain.as_confirmed(again) == domain.as_confirmed(first)
    box_office.cancel(user_id, first["_id"])
    after, replayed = box_office.book(user_id, key, concert_id, items(standing=3))
    assert replayed
    assert domain.as_confirmed(after) == domain.as_confirmed(first)


def test_cancelled_tickets_can_be_booked_at_once(box_office: BoxOffice, concert_id: str) -> None:
    box_office.set_terms(terms(concert_id))
    user_id = new_id()
    booking, _ = box_office.book(user_id, new_id(), concert_id, items(standing=3))
    box_office.cancel(user_id, booking["_id"])
    box_office.book(new_id(), new_id(), concert_id, items(standing=3))
    with pytest.raises(AlreadyCancelled):
        box_office.cancel(user_id, booking["_id"])


def test_concert_that_redis_forgot_is_loaded_once_for_everyone(
    box_office: BoxOffice, redis: Redis, concert_id: str
) -> None:
    box_office.set_terms(terms(concert_id, capacities={"standing": 40}))
    for _ in range(4):
        box_office.book(new_id(), new_id(), concert_id, items(standing=5))
    forget(redis, concert_id)
    all_at_once(20, lambda _: box_office.book(new_id(), new_id(), concert_id, items(standing=1)))
    with pytest.raises(SoldOut):
        box_office.book(new_id(), new_id(), concert_id, items(standing=1))


def test_concert_nobody_put_on_sale_is_not_found_by_a_crowd(box_office: BoxOffice, concert_id: str) -> None:
    def ask(_: int) -> None:
        with pytest.raises(ConcertNotFound):
            box_office.availability(concert_id)

    all_at_once(16, ask)


def test_units_sold_behind_redis_back_are_found_out(
    box_office: BoxOffice, bookings: Bookings, holds: Holds, redis: Redis, concert_id: str
) -> None:
    on_sale = terms(concert_id, capacities={"standing": 6}, limit=4)
    box_office.set_terms(on_sale)
    box_office.book("ada", new_id(), concert_id, items(standing=4))
    forget(redis, concert_id)
    holds.load(on_sale, [])  # it comes back from before the sale
    with pytest.raises(LimitReached):
        box_office.book("ada", new_id(), concert_id, items(standing=1))
    box_office.book("bob", new_id(), concert_id, items(standing=2))
    with pytest.raises(SoldOut):
        box_office.book("cy", new_id(), concert_id, items(standing=1))
    assert sum(len(claims) for _, claims in bookings.sold(concert_id)) == 12


def test_tickets_of_a_process_that_was_killed_before_its_write_come_back(
    box_office: BoxOffice, holds: Holds, concert_id: str
) -> None:
    box_office.set_terms(terms(concert_id, limit=3))
    user_id, killed = new_id(), new_id()
    holds.place(concert_id, domain.booking_id(user_id, killed), user_id, {"standing": 3}, life=ENOUGH)
    with pytest.raises(SoldOut):
        box_office.book(new_id(), new_id(), concert_id, items(standing=1))
    poll(lambda: available(holds, concert_id)["standing"] == 3)
    _, replayed = box_office.book(user_id, killed, concert_id, items(standing=3))
    assert not replayed


def test_unit_of_a_write_slower_than_its_hold_is_sold_once(
    box_office: BoxOffice, bookings: Bookings, holds: Holds, concert_id: str
) -> None:
    on_sale = terms(concert_id, capacities={"standing": 2})
    box_office.set_terms(on_sale)
    slow = domain.booking_id("ada", "slow")
    hold = holds.place(concert_id, slow, "ada", {"standing": 1}, life=SHORT_LIFE)
    poll(lambda: available(holds, concert_id)["standing"] == 2)
    written = domain.draft(
        booking_id=slow, user_id="ada", idempotency_key="slow", items=items(standing=1),
        claims=hold.claims, terms=on_sale, now=datetime.now(UTC),
    )  # fmt: skip
    bookings.confirm(written, later())
    assert not holds.settle(concert_id, slow)
    other, _ = box_office.book("bob", new_id(), concert_id, items(standing=1))
    assert not set(other["claims"]) & set(hold.claims)
    with pytest.raises(SoldOut):
        box_office.book("cy", new_id(), concert_id, items(standing=1))


def test_sales_close_between_hold_and_write(
    box_office: BoxOffice, bookings: Bookings, holds: Holds, concert_id: str
) -> None:
    box_office.set_terms(terms(concert_id, closes_in=timedelta(seconds=-1)))
    holds.load(terms(concert_id), [])  # Redis, whose clock is late, thinks sales are open
    with pytest.raises(SalesClosed):
        box_office.book("ada", new_id(), concert_id, items(standing=1))
    assert list(bookings.sold(concert_id)) == []
    assert available(holds, concert_id) == {"standing": 3, "balcony": 2}


def test_later_close_is_sold_by_in_every_process(
    box_office: BoxOffice, bookings: Bookings, holds: Holds, mongo: Database[Document], concert_id: str
) -> None:
    other_process = BoxOffice(holds, bookings, Terms(mongo))
    box_office.set_terms(terms(concert_id, version=1, closes_in=timedelta(seconds=-1)))
    with pytest.raises(SalesClosed):
        other_process.book("ada", "k1", concert_id, items(standing=1))
    box_office.set_terms(terms(concert_id, version=2))
    booking, _ = other_process.book("ada", "k1", concert_id, items(standing=1))
    assert booking["schedule_version"] == 2
