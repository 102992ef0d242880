from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from redis import Redis

from booking_svc import domain
from booking_svc.bookings import Bookings
from booking_svc.contract import (
    AlreadyCancelled,
    ConcertNotFound,
    HoldExpired,
    LimitReached,
    SalesClosed,
    SoldOut,
    TicketsUnavailable,
)
from booking_svc.holds import Holds
from booking_svc.offer import Offer
from booking_svc.scripts import concert_key
from rabbitmq.database import Document
from tests.integration.booking_svc.crowd import all_at_once
from tests.integration.booking_svc.keys import copy, forget, roll_back
from tests.integration.booking_svc.process import Process
from tests.polling import poll
from tests.unit.booking_svc.concerts import draft, hall, items, new_id, seats, terms
from tests.unit.booking_svc.holds_contract import ENOUGH, SHORT_LIFE
from tests.unit.booking_svc.interruptions import Killed, before, die_before


def test_booking_is_sold_in_both_stores(process: Process, bookings: Bookings, concert_id: str) -> None:
    process.inventory.set_terms(terms(concert_id))
    booking, replayed = process.box_office.book("ada", new_id(), concert_id, items(standing=2, balcony=1))
    assert not replayed
    assert list(bookings.sold(concert_id)) == [(booking["_id"], booking["claims"])]
    assert process.available(concert_id) == {"standing": 1, "balcony": 1}
    assert domain.as_confirmed(booking) == domain.as_booking(booking)


def test_hold_of_seats_is_booked_and_cancelled(process: Process, bookings: Bookings, concert_id: str) -> None:
    process.inventory.set_terms(terms(concert_id, seating={"stalls": hall("1", "2", blocked_seats=["B-1-1"])}))
    office, user_id, key = process.box_office, new_id(), new_id()
    hold = office.hold(user_id, new_id(), concert_id, [*seats("stalls", "B-2-6"), *items(stalls=2, standing=1)])
    assert [ticket["seat"] for ticket in hold["tickets"]] == ["B-2-6", "B-1-2", "B-1-3", None]
    assert states(process, concert_id) == "xhhaaa" + "aaaaah"
    booking, _ = office.book_hold(user_id, key, hold["id"])
    assert [ticket["seat"] for ticket in booking["tickets"]] == ["B-2-6", "B-1-2", "B-1-3", None]
    assert "unit:stalls:B-1-3" in booking["claims"]
    assert states(process, concert_id) == "xbbaaa" + "aaaaab"
    with pytest.raises(TicketsUnavailable, match="not available"):
        office.book(new_id(), new_id(), concert_id, seats("stalls", "B-2-6"))
    office.cancel(user_id, booking["_id"])
    assert states(process, concert_id) == "xaaaaa" + "aaaaaa"
    again, replayed = office.book_hold(user_id, key, hold["id"])
    assert replayed and domain.as_confirmed(again) == domain.as_confirmed(booking)


def test_replay_is_the_same_answer_also_after_a_cancel(process: Process, concert_id: str) -> None:
    process.inventory.set_terms(terms(concert_id))
    office, user_id, key = process.box_office, new_id(), new_id()
    first, _ = office.book(user_id, key, concert_id, items(standing=3))
    again, replayed = office.book(user_id, key, concert_id, items(standing=3))
    assert replayed
    assert domain.as_confirmed(again) == domain.as_confirmed(first)
    office.cancel(user_id, first["_id"])
    after, replayed = office.book(user_id, key, concert_id, items(standing=3))
    assert replayed
    assert domain.as_confirmed(after) == domain.as_confirmed(first)


def test_cancelled_tickets_can_be_booked_at_once(process: Process, concert_id: str) -> None:
    process.inventory.set_terms(terms(concert_id))
    user_id = new_id()
    booking, _ = process.box_office.book(user_id, new_id(), concert_id, items(standing=3))
    process.box_office.cancel(user_id, booking["_id"])
    process.box_office.book(new_id(), new_id(), concert_id, items(standing=3))
    with pytest.raises(AlreadyCancelled):
        process.box_office.cancel(user_id, booking["_id"])


def test_concert_that_redis_forgot_is_counted_once_for_everyone(
    process: Process, redis: Redis, concert_id: str
) -> None:
    process.inventory.set_terms(terms(concert_id, capacities={"standing": 40}))
    for _ in range(4):
        process.box_office.book(new_id(), new_id(), concert_id, items(standing=5))
    forget(redis, concert_id)
    all_at_once(20, lambda _: process.box_office.book(new_id(), new_id(), concert_id, items(standing=1)))
    with pytest.raises(SoldOut):
        process.box_office.book(new_id(), new_id(), concert_id, items(standing=1))


def test_concert_nobody_put_on_sale_is_not_found_by_a_crowd(process: Process, concert_id: str) -> None:
    def ask(_: int) -> None:
        with pytest.raises(ConcertNotFound):
            process.inventory.availability(concert_id)

    all_at_once(16, ask)


def test_units_sold_behind_redis_back_are_found_out(
    process: Process, bookings: Bookings, redis: Redis, concert_id: str
) -> None:
    office = process.box_office
    process.inventory.set_terms(terms(concert_id, capacities={"standing": 6}, limit=4))
    before = copy(redis, concert_id)
    office.book("ada", new_id(), concert_id, items(standing=4))
    roll_back(redis, concert_id, before)
    with pytest.raises(LimitReached):
        office.book("ada", new_id(), concert_id, items(standing=1))
    office.book("bob", new_id(), concert_id, items(standing=2))
    with pytest.raises(SoldOut):
        office.book("cy", new_id(), concert_id, items(standing=1))
    assert sum(len(claims) for _, claims in bookings.sold(concert_id)) == 12


def test_tickets_cancelled_behind_redis_back_are_found_out(process: Process, redis: Redis, concert_id: str) -> None:
    office = process.box_office
    process.inventory.set_terms(terms(concert_id, capacities={"standing": 3}, limit=3))
    booking, _ = office.book("ada", new_id(), concert_id, items(standing=3))
    sold_out = copy(redis, concert_id)
    office.cancel("ada", booking["_id"])
    roll_back(redis, concert_id, sold_out)
    assert process.available(concert_id) == {"standing": 0}  # may lag; nobody is refused by it
    office.book("ada", new_id(), concert_id, items(standing=1))
    office.book("bob", new_id(), concert_id, items(standing=2))


def test_hold_that_an_old_copy_brings_back_is_not_booked_twice(
    process: Process, bookings: Bookings, redis: Redis, concert_id: str
) -> None:
    office = process.box_office
    process.inventory.set_terms(terms(concert_id))
    hold = office.hold("ada", new_id(), concert_id, items(standing=2))
    held = copy(redis, concert_id)
    first, _ = office.book_hold("ada", new_id(), hold["id"])
    roll_back(redis, concert_id, held)
    with pytest.raises(HoldExpired):
        office.book_hold("ada", new_id(), hold["id"])
    assert [owner for owner, _ in bookings.sold(concert_id)] == [first["_id"]]
    assert process.available(concert_id)["standing"] == 1


def test_tickets_of_a_process_that_was_killed_before_its_write_come_back(
    process: Process, holds: Holds, concert_id: str
) -> None:
    process.inventory.set_terms(terms(concert_id, limit=3))
    user_id, killed = new_id(), new_id()
    request = process.inventory.hold_request(user_id, concert_id, items(standing=3))
    holds.place_for_booking(concert_id, domain.booking_id(user_id, killed), request, life=ENOUGH)
    with pytest.raises(SoldOut):
        process.box_office.book(new_id(), new_id(), concert_id, items(standing=1))
    _, replayed = process.box_office.book(user_id, killed, concert_id, items(standing=3), redelivered=True)
    assert not replayed


def test_unit_of_a_write_slower_than_its_hold_is_sold_once(
    process: Process, bookings: Bookings, holds: Holds, concert_id: str
) -> None:
    on_sale = terms(concert_id, capacities={"standing": 2})
    process.inventory.set_terms(on_sale)
    slow = domain.Purchase("ada", "slow", domain.fingerprint(concert_id, items(standing=1)))
    request = process.inventory.hold_request("ada", concert_id, items(standing=1))
    hold = holds.place_for_booking(concert_id, slow.booking_id, request, life=SHORT_LIFE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("booking_svc.holds.BUSY", SHORT_LIFE)
        hold = holds.place_for_booking(concert_id, slow.booking_id, request, redelivered=True, life=SHORT_LIFE)
    poll(lambda: process.available(concert_id)["standing"] == 2)  # MongoDB does not have it
    bookings.confirm(domain.draft(slow, hold, Offer(on_sale), hold.expires_at))
    assert not holds.settle(concert_id, slow.booking_id, hold.mark)
    other, _ = process.box_office.book("bob", new_id(), concert_id, items(standing=1))
    assert len(other["tickets"]) == 1
    with pytest.raises(SoldOut):
        process.box_office.book("cy", new_id(), concert_id, items(standing=1))
    assert len(list(bookings.sold(concert_id))) == 2


def test_refused_requests_leave_nothing_behind(
    process: Process, redis: Redis, mongo: Database[Document], concert_id: str
) -> None:
    process.inventory.set_terms(terms(concert_id, capacities={"standing": 1}))
    process.box_office.book("ada", new_id(), concert_id, items(standing=1))
    with pytest.raises(SoldOut):
        process.box_office.book("bob", new_id(), concert_id, items(standing=1))

    def what_is_there() -> tuple[int, dict[bytes, int | None]]:
        keys = list(redis.scan_iter(f"{concert_key(concert_id)}*", count=1000))
        documents = mongo["bookings"].count_documents({"concert_id": concert_id})
        return documents, {key: redis.memory_usage(key) for key in keys}

    before = what_is_there()
    for _ in range(50):
        with pytest.raises(SoldOut):
            process.box_office.book(new_id(), new_id(), concert_id, items(standing=1))
        with pytest.raises(SoldOut):
            process.box_office.hold(new_id(), new_id(), concert_id, items(standing=1))
    assert what_is_there() == before


def test_sales_close_between_hold_and_write(
    process: Process, bookings: Bookings, redis: Redis, concert_id: str
) -> None:
    process.inventory.set_terms(terms(concert_id))
    open_still = copy(redis, concert_id)
    process.inventory.set_terms(terms(concert_id, closes_in=timedelta(seconds=-1)))
    roll_back(redis, concert_id, open_still)  # Redis, whose clock is late, thinks sales are open
    with pytest.raises(SalesClosed):
        process.box_office.book("ada", new_id(), concert_id, items(standing=1))
    assert list(bookings.sold(concert_id)) == []
    assert process.available(concert_id) == {"standing": 3, "balcony": 2}


def test_later_close_is_sold_by_in_every_process(new_process: Callable[[], Process], concert_id: str) -> None:
    process, other = new_process(), new_process()
    process.inventory.set_terms(terms(concert_id, version=1, closes_in=timedelta(seconds=-1)))
    with pytest.raises(SalesClosed):
        other.box_office.book("ada", "k1", concert_id, items(standing=1))
    process.inventory.set_terms(terms(concert_id, version=2))
    booking, _ = other.box_office.book("ada", "k1", concert_id, items(standing=1))
    assert booking["schedule_version"] == 2


def test_concert_with_many_bookings_is_counted_in_pieces(
    process: Process, redis: Redis, mongo: Database[Document], concert_id: str
) -> None:
    on_sale, sold = terms(concert_id, capacities={"standing": 50_000}), 12_000  # more than a piece of each kind
    process.inventory.set_terms(on_sale)
    one = {**draft(on_sale, "standing:1"), "status": "confirmed", "confirmed_at": datetime.now(UTC), "outbox": []}
    mongo["bookings"].insert_many(
        {**one, "_id": f"{concert_id}-{n}", "claims": [f"buyer:{n:024}:1", f"unit:standing:{n}"]}
        for n in range(1, sold + 1)
    )
    forget(redis, concert_id)
    assert process.available(concert_id) == {"standing": 50_000 - sold}
    taken = process.box_office.hold("ada", new_id(), concert_id, items(standing=1))
    assert taken["tickets"] and redis.hlen(concert_key(concert_id, "buyers")) == sold + 2


def states(process: Process, concert_id: str) -> str:
    types = process.inventory.seats(concert_id, None)["ticket_types"]
    assert types
    return types[0]["states"]


def test_hold_booked_while_it_is_counted_is_sold_though_its_process_was_killed(
    new_process: Callable[[], Process], redis: Redis, concert_id: str
) -> None:
    process, other = new_process(), new_process()
    process.inventory.set_terms(terms(concert_id, seating={"stalls": hall("1")}))
    hold = process.box_office.hold("ada", new_id(), concert_id, seats("stalls", "B-1-1"))
    count = process.counts.begin(concert_id)
    assert count is not None

    def sold() -> Iterator[tuple[str, list[str]]]:
        die_before(other.holds, "settle")
        with pytest.raises(Killed):
            other.box_office.book_hold("ada", concert_id, hold["id"])
        yield from process.bookings.sold(concert_id)

    assert process.counts.load(count, process.terms.newest(concert_id), sold())
    assert process.box_office.book_hold("ada", concert_id, hold["id"], redelivered=True)[1]
    with pytest.raises(TicketsUnavailable):
        process.box_office.hold("bob", new_id(), concert_id, seats("stalls", "B-1-1"))


def test_limit_holds_though_the_type_was_dropped_before_its_booking_was_settled(
    new_process: Callable[[], Process], concert_id: str
) -> None:
    process = new_process()
    process.inventory.set_terms(terms(concert_id, limit=2, seating={"stalls": hall("1")}))
    die_before(process.holds, "settle")
    with pytest.raises(Killed):
        process.box_office.book("ada", concert_id, concert_id, items(stalls=2))
    process = new_process()
    process.inventory.set_terms(terms(concert_id, version=2, limit=2))
    with pytest.raises(LimitReached):
        process.box_office.hold("ada", new_id(), concert_id, items(standing=2))


def test_seat_of_a_booking_cancelled_before_it_is_settled_is_left_to_who_holds_it(
    new_process: Callable[[], Process], concert_id: str
) -> None:
    process, other = new_process(), new_process()
    process.inventory.set_terms(terms(concert_id, seating={"stalls": hall("1")}))
    wanted = seats("stalls", "B-1-1")

    def cancel_and_hold() -> str:
        other.box_office.cancel("ada", domain.booking_id("ada", concert_id))
        return other.box_office.hold("bob", new_id(), concert_id, wanted)["id"]

    bobs = before(process.holds, "settle", cancel_and_hold)
    process.box_office.book("ada", concert_id, concert_id, wanted)
    assert other.box_office.find_hold("bob", bobs[0])["tickets"][0]["seat"] == "B-1-1"


def test_cancel_that_is_done_is_answered_though_mongodb_is_gone_afterwards(process: Process, concert_id: str) -> None:
    process.inventory.set_terms(terms(concert_id))
    booking, _ = process.box_office.book("ada", new_id(), concert_id, items(standing=1))

    def be_gone() -> None:
        def gone(*_: object) -> None:
            raise AutoReconnect("as the test asked")

        process.terms.newest = gone  # type: ignore[method-assign, assignment]

    before(process.bookings, "cancel", be_gone)
    assert process.box_office.cancel("ada", booking["_id"])["status"] == "cancelled"


def test_redis_that_was_rolled_back_far_by_hand_is_counted(process: Process, redis: Redis, concert_id: str) -> None:
    process.inventory.set_terms(terms(concert_id, capacities={"standing": 50}))
    kept = copy(redis, concert_id)
    for number in range(30):
        process.box_office.book(f"buyer {number}", concert_id, concert_id, items(standing=1))
    roll_back(redis, concert_id, kept)
    booking, _ = process.box_office.book("eve", concert_id, concert_id, items(standing=1))
    assert "unit:standing:31" in booking["claims"]


def test_sold_out_is_not_believed_for_long_though_counting_took_long(
    process: Process, redis: Redis, concert_id: str
) -> None:
    process.inventory.set_terms(terms(concert_id))
    count = process.counts.begin(concert_id)
    assert count is not None
    two_minutes_ago = count._replace(begun=count.begun - 120_000)
    assert process.counts.load(two_minutes_ago, process.terms.newest(concert_id), [])
    trusted_until = int(redis.hget(concert_key(concert_id, "terms"), "trusted_until") or 0)
    assert trusted_until - count.begun < 310_000


def test_hold_is_not_said_to_outlast_sales_that_close_earlier(process: Process, concert_id: str) -> None:
    process.inventory.set_terms(terms(concert_id))
    hold = process.box_office.hold("ada", new_id(), concert_id, items(standing=1))
    sooner = terms(concert_id, version=2, closes_in=timedelta(seconds=30))
    process.inventory.set_terms(sooner)
    assert process.box_office.find_hold("ada", hold["id"])["expires_at"] == sooner["sales_close_at"]


def test_holds_and_their_expiries_that_tell_of_different_holds_are_made_anew(
    process: Process, redis: Redis, concert_id: str
) -> None:
    process.inventory.set_terms(terms(concert_id))
    hold = process.box_office.hold("ada", new_id(), concert_id, items(standing=1))
    [mark] = redis.zrange(concert_key(concert_id, "expiries"), 0, 0)
    redis.zrem(concert_key(concert_id, "expiries"), mark)
    redis.zadd(concert_key(concert_id, "expiries"), {"nobodys!": 1})
    assert process.available(concert_id)["standing"] == 2
    assert process.box_office.find_hold("ada", hold["id"]) == hold
