from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import PyMongoError
from redis.exceptions import ConnectionError as RedisUnreachable
from redis.exceptions import RedisError

from booking_svc import domain, inventory
from booking_svc.bookings import ClaimTaken
from booking_svc.contract import (
    AlreadyCancelled,
    BookingNotFound,
    ConcertNotFound,
    HoldExpired,
    HoldNotFound,
    IdempotencyKeyReused,
    LimitReached,
    NotCancellable,
    RequestInProgress,
    SalesClosed,
    SoldOut,
    TicketsUnavailable,
    UnknownSeat,
    UnknownTicketType,
)
from booking_svc.domain import BookingDocument
from rabbitmq.errors import Unavailable
from tests.unit.booking_svc.concerts import hall, items, new_id, seats, terms
from tests.unit.booking_svc.fakes import FakeBookings
from tests.unit.booking_svc.interruptions import Killed, before, die_before
from tests.unit.booking_svc.theatre import Theatre

ALL = {"standing": 3, "balcony": 2}


@pytest.fixture
def theatre() -> Theatre:
    return Theatre()


# --- bookings


def test_booking_takes_the_tickets_for_good(theatre: Theatre) -> None:
    booking, replayed = theatre.book(standing=2, balcony=1)
    assert not replayed
    assert booking["status"] == "confirmed"
    assert [t["ticket_type"] for t in booking["tickets"]] == ["standing", "standing", "balcony"]
    assert theatre.sold() == {booking["_id"]}
    theatre.pass_time(3600)
    assert theatre.redis.concerts[theatre.concert_id].holds == {}


def test_what_is_not_on_offer_is_not_booked(theatre: Theatre) -> None:
    with pytest.raises(UnknownTicketType):
        theatre.book(backstage=1)
    with pytest.raises(UnknownSeat):
        theatre.box_office.book("ada", "k1", theatre.concert_id, seats("standing", "B-1-1"))


def test_concert_nobody_put_on_sale_is_not_found(theatre: Theatre) -> None:
    with pytest.raises(ConcertNotFound):
        theatre.box_office.book("ada", "k1", new_id(), items(standing=1))
    with pytest.raises(ConcertNotFound):
        theatre.inventory.availability(new_id())
    with pytest.raises(ConcertNotFound):
        theatre.inventory.seats(new_id(), None)


def test_taken_seats_are_told_by_name() -> None:
    theatre = Theatre(seating={"balcony": hall("1", "2")})
    theatre.hold("ada", asked=seats("balcony", "B-1-1", "B-2-6"))
    with pytest.raises(TicketsUnavailable) as refused:
        theatre.hold("bob", asked=seats("balcony", "B-2-6", "B-1-2", "B-1-1"))
    assert refused.value.args == ("B-2-6", "B-1-1")


def test_newer_terms_of_another_process_are_asked_for_when_something_is_unknown(theatre: Theatre) -> None:
    known = theatre.terms.newest(theatre.concert_id)
    theatre.inventory.set_terms(terms(theatre.concert_id, version=2, capacities={"standing": 3, "lawn": 4}))
    theatre.terms.known = lambda _: known  # type: ignore[method-assign]  # as this process remembers them
    booking, _ = theatre.book(lawn=1)
    assert booking["schedule_version"] == 2


# --- the same key again


def test_replay_is_the_same_booking(theatre: Theatre) -> None:
    first, _ = theatre.book(key="k1", standing=2)
    again, replayed = theatre.book(key="k1", standing=2)
    assert replayed
    assert again == first
    assert theatre.available()["standing"] == 1


def test_replay_wins_over_sold_out(theatre: Theatre) -> None:
    first, _ = theatre.book(key="k1", standing=3)
    with pytest.raises(SoldOut):
        theatre.book(key="k2", standing=3)
    assert theatre.book(key="k1", standing=3) == (first, True)


def test_replay_wins_over_sales_closed(theatre: Theatre) -> None:
    first, _ = theatre.book(key="k1", standing=1)
    theatre.inventory.set_terms(terms(theatre.concert_id, version=2, closes_in=timedelta(seconds=-1)))
    with pytest.raises(SalesClosed):
        theatre.book(key="k2", standing=1)
    assert theatre.book(key="k1", standing=1) == (first, True)


def test_replay_needs_no_redis(theatre: Theatre) -> None:
    first, _ = theatre.book(key="k1", standing=1)
    theatre.redis.unreachable = True
    assert theatre.book(key="k1", standing=1) == (first, True)


def test_replay_after_a_cancel_says_what_was_confirmed(theatre: Theatre) -> None:
    first, _ = theatre.book("ada", "k1", standing=1)
    theatre.box_office.cancel("ada", first["_id"])
    again, replayed = theatre.book("ada", "k1", standing=1)
    assert replayed
    assert domain.as_confirmed(again) == domain.as_confirmed(first)
    assert theatre.available() == ALL


def test_key_with_another_body_is_refused(theatre: Theatre) -> None:
    theatre.book(key="k1", standing=1)
    with pytest.raises(IdempotencyKeyReused):
        theatre.book(key="k1", standing=2)
    with pytest.raises(IdempotencyKeyReused):
        theatre.box_office.book("ada", "k1", new_id(), items(standing=1))
    with pytest.raises(IdempotencyKeyReused):
        theatre.book_hold(theatre.hold(standing=1), key="k1")
    assert theatre.available() == {"standing": 1, "balcony": 2}


def test_keys_are_each_users_own(theatre: Theatre) -> None:
    theatre.book("ada", "k1", standing=1)
    _, replayed = theatre.book("bob", "k1", standing=1)
    assert not replayed


def test_refusal_is_not_stored_with_the_key(theatre: Theatre) -> None:
    first, _ = theatre.book("ada", standing=3)
    with pytest.raises(SoldOut):
        theatre.book("bob", "k1", standing=1)
    theatre.box_office.cancel("ada", first["_id"])
    _, replayed = theatre.book("bob", "k1", standing=1)
    assert not replayed


def test_request_in_flight_is_not_begun_again(theatre: Theatre) -> None:
    die_before(theatre.bookings, "confirm")
    with pytest.raises(Killed):
        theatre.book("ada", "k1", standing=1)
    with pytest.raises(RequestInProgress):
        theatre.book("ada", "k1", standing=1)
    with pytest.raises(IdempotencyKeyReused):
        theatre.book("ada", "k1", standing=2)


def test_who_is_refused_while_the_same_key_is_booked_gets_the_booking(theatre: Theatre) -> None:
    faster = before(theatre.holds, "place_for_booking", lambda: theatre.book("ada", "k1", standing=3))
    booking, replayed = theatre.book("ada", "k1", standing=3)  # and no ticket is left
    assert replayed
    assert (booking, False) == faster[0]


def test_slower_request_with_the_same_key_gets_the_faster_ones_booking(theatre: Theatre) -> None:
    faster = before(theatre.holds, "place_for_booking", lambda: theatre.book("ada", "k1", standing=1))
    booking, replayed = theatre.book("ada", "k1", standing=1)
    assert replayed
    assert (booking, False) == faster[0]
    assert theatre.available()["standing"] == 2  # what the slower one took beside it is free again


def test_slower_request_with_the_same_key_and_another_body_is_refused(theatre: Theatre) -> None:
    before(theatre.holds, "place_for_booking", lambda: theatre.book("ada", "k1", standing=2))
    with pytest.raises(IdempotencyKeyReused):
        theatre.book("ada", "k1", balcony=2)
    assert theatre.available() == {"standing": 1, "balcony": 2}


def test_slower_request_frees_all_when_the_faster_ones_booking_is_cancelled(theatre: Theatre) -> None:
    def book_and_cancel() -> None:
        booking, _ = theatre.book("ada", "k1", standing=2)
        theatre.box_office.cancel("ada", booking["_id"])

    before(theatre.holds, "place_for_booking", book_and_cancel)
    _, replayed = theatre.book("ada", "k1", standing=2)
    assert replayed
    assert theatre.available() == ALL


def test_slower_requests_tickets_come_back_when_redis_fails_before_they_are_free(theatre: Theatre) -> None:
    before(theatre.holds, "place_for_booking", lambda: theatre.book("ada", "k1", standing=1))
    before(theatre.holds, "release", unreachable)
    _, replayed = theatre.book("ada", "k1", standing=1)
    assert replayed
    theatre.pass_time(60)
    theatre.inventory.availability(theatre.concert_id)
    recount(theatre)
    assert theatre.available()["standing"] == 2


# --- a process that dies


def test_process_killed_before_the_write_leaves_tickets_that_the_same_key_takes_up(theatre: Theatre) -> None:
    die_before(theatre.bookings, "confirm")
    with pytest.raises(Killed):
        theatre.book("ada", "k1", standing=3)
    booking, replayed = theatre.book("ada", "k1", redelivered=True, standing=3)
    assert not replayed and len(booking["tickets"]) == 3
    assert theatre.available()["standing"] == 0


def test_process_killed_before_the_write_is_taken_over_by_a_retry_after_a_while(theatre: Theatre) -> None:
    die_before(theatre.bookings, "confirm")
    with pytest.raises(Killed):
        theatre.book("ada", "k1", standing=3)
    theatre.pass_time(4)
    assert len(theatre.book("ada", "k1", standing=3)[0]["tickets"]) == 3


def test_process_killed_before_the_write_keeps_nobody_waiting_for_long(theatre: Theatre) -> None:
    die_before(theatre.bookings, "confirm")
    with pytest.raises(Killed):
        theatre.book("ada", "k1", standing=3)
    with pytest.raises(SoldOut):
        theatre.book("bob", standing=1)
    theatre.pass_time(11)
    assert theatre.available() == ALL
    theatre.book("bob", standing=3)
    with pytest.raises(SoldOut):
        theatre.book("ada", "k1", redelivered=True, standing=3)


@pytest.mark.parametrize("redelivered", [True, False])
def test_process_killed_after_the_write_has_booked(theatre: Theatre, redelivered: bool) -> None:
    die_before(theatre.holds, "settle")
    with pytest.raises(Killed):
        theatre.book("ada", "k1", standing=3)
    booking, replayed = theatre.book("ada", "k1", redelivered=redelivered, standing=3)
    assert replayed
    assert theatre.sold() == {booking["_id"]}


def test_tickets_of_a_process_killed_after_the_write_stay_sold(theatre: Theatre) -> None:
    die_before(theatre.holds, "settle")
    with pytest.raises(Killed):
        theatre.book("ada", "k1", standing=3)
    theatre.pass_time(11)
    assert theatre.available()["standing"] == 0
    with pytest.raises(SoldOut):
        theatre.book("bob", standing=1)
    theatre.box_office.cancel("ada", domain.booking_id("ada", "k1"))
    assert theatre.available() == ALL


def test_process_killed_while_it_counts_is_followed_by_another(theatre: Theatre) -> None:
    theatre.book(standing=1)
    theatre.forget()
    die_before(theatre.bookings, "sold")
    with pytest.raises(Killed):
        theatre.available()
    assert theatre.available()["standing"] == 2


# --- holds


def test_hold_shows_what_it_keeps(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=2, balcony=1)
    assert [(t["number"], t["ticket_type"], t["seat"]) for t in hold["tickets"]] == [
        (1, "standing", None),
        (2, "standing", None),
        (3, "balcony", None),
    ]
    assert [t["name"] for t in hold["tickets"]] == ["Standing", "Standing", "Balcony"]
    assert hold["total"] == {"amount": 2 * 4500 + 8000, "currency": "EUR"}
    assert hold["items"] == items(standing=2, balcony=1)
    assert theatre.box_office.find_hold("ada", hold["id"]) == hold
    assert theatre.available() == {"standing": 1, "balcony": 1}


def test_hold_is_booked_at_its_price(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=2)
    dearer = terms(theatre.concert_id, version=2)
    dearer["ticket_types"][0]["price"]["amount"] = 9900
    theatre.inventory.set_terms(dearer)
    booking, replayed = theatre.book_hold(hold)
    assert not replayed
    assert booking["total"]["amount"] == hold["total"]["amount"] == 9000
    assert (booking["hold_id"], booking["schedule_version"]) == (hold["id"], 2)
    assert booking["items"] == hold["items"]
    assert theatre.available()["standing"] == 1


def test_booked_hold_is_booked_once(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=2)
    first, _ = theatre.book_hold(hold, key="k1")
    assert theatre.book_hold(hold, key="k1") == (first, True)
    with pytest.raises(HoldExpired):
        theatre.book_hold(hold, key="k2")
    assert len(theatre.sold()) == 1


def test_key_of_a_hold_that_was_booked_makes_another_hold(theatre: Theatre) -> None:
    first = theatre.hold("ada", "cart", standing=1)
    booking, _ = theatre.book_hold(first, key="b1")
    theatre.box_office.cancel("ada", booking["_id"])
    theatre.pass_time(1)
    second = theatre.hold("ada", "cart", standing=1)
    assert second["id"] != first["id"]
    with pytest.raises(IdempotencyKeyReused):
        theatre.book_hold(second, key="b1")
    with pytest.raises(HoldExpired):
        theatre.book_hold(first, key="b2")
    theatre.box_office.release_hold("ada", first["id"])
    assert theatre.box_office.find_hold("ada", second["id"]) == second


def test_key_wins_over_what_is_no_hold(theatre: Theatre) -> None:
    theatre.book("ada", "k1", standing=1)
    with pytest.raises(IdempotencyKeyReused):
        theatre.box_office.book_hold("ada", "k1", "no hold")
    with pytest.raises(HoldNotFound):
        theatre.box_office.book_hold("ada", "k2", "no hold")


def test_hold_of_somebody_else_is_not_there(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=1)
    for act in (theatre.box_office.find_hold, theatre.box_office.extend_hold, theatre.box_office.release_hold):
        with pytest.raises(HoldNotFound):
            act("bob", hold["id"])
    with pytest.raises(HoldNotFound):
        theatre.book_hold(hold, "bob")
    assert theatre.box_office.find_hold("ada", hold["id"]) == hold


def test_expired_hold_is_said_to_be(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=3)
    theatre.pass_time(601)
    for act in (theatre.box_office.find_hold, theatre.box_office.extend_hold):
        with pytest.raises(HoldExpired):
            act("ada", hold["id"])
    with pytest.raises(HoldExpired):
        theatre.book_hold(hold)
    theatre.box_office.release_hold("ada", hold["id"])  # nothing is left to do
    assert theatre.available() == ALL


def test_released_hold_can_be_held_by_others(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=3)
    theatre.box_office.release_hold("ada", hold["id"])
    theatre.hold("bob", standing=3)
    with pytest.raises(HoldExpired):
        theatre.book_hold(hold)


def test_hold_is_extended_thirty_minutes_in_all_at_most(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=1)
    for _ in range(3):
        theatre.pass_time(500)
        hold = theatre.box_office.extend_hold("ada", hold["id"])
    theatre.pass_time(290)
    assert theatre.box_office.find_hold("ada", hold["id"]) == hold
    theatre.pass_time(15)
    with pytest.raises(HoldExpired):
        theatre.box_office.extend_hold("ada", hold["id"])


def test_limit_is_across_bookings_and_holds() -> None:
    theatre = Theatre(limit=3)
    theatre.book("ada", standing=1)
    hold = theatre.hold("ada", standing=1)
    with pytest.raises(LimitReached):
        theatre.hold("ada", balcony=2)
    theatre.hold("ada", balcony=1)
    with pytest.raises(LimitReached):
        theatre.book("ada", balcony=1)
    theatre.book_hold(hold)  # what is held counts once
    with pytest.raises(LimitReached):
        theatre.book("ada", balcony=1)


def test_hold_is_not_booked_after_sales_closed(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=1)
    theatre.inventory.set_terms(terms(theatre.concert_id, version=2, closes_in=timedelta(seconds=-1)))
    with pytest.raises(SalesClosed):
        theatre.book_hold(hold)
    assert theatre.sold() == set()


def test_hold_being_booked_is_nobody_elses_meanwhile(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=1)
    die_before(theatre.bookings, "confirm")
    with pytest.raises(Killed):
        theatre.book_hold(hold, key="k1")
    for act in (theatre.box_office.extend_hold, theatre.box_office.release_hold):
        with pytest.raises(RequestInProgress):
            act("ada", hold["id"])
    for key in ("k1", "k2"):
        with pytest.raises(RequestInProgress):
            theatre.book_hold(hold, key=key)
    booking, replayed = theatre.book_hold(hold, key="k1", redelivered=True)
    assert not replayed and booking["status"] == "confirmed"


@pytest.mark.parametrize("died_before", ["confirm", "settle"])
def test_hold_whose_booking_died_belongs_to_mongodbs_answer(theatre: Theatre, died_before: str) -> None:
    hold = theatre.hold("ada", standing=2)
    die_before(theatre.bookings if died_before == "confirm" else theatre.holds, died_before)
    with pytest.raises(Killed):
        theatre.book_hold(hold, key="k1")
    theatre.pass_time(4)  # nobody can be at it any more
    if died_before == "confirm":
        assert theatre.book_hold(hold, key="k2")[0]["status"] == "confirmed"
    else:
        with pytest.raises(HoldExpired):
            theatre.book_hold(hold, key="k2")
    assert len(theatre.sold()) == 1
    assert theatre.available()["standing"] == 1


def test_key_used_for_another_booking_meanwhile_leaves_the_hold_to_its_buyer(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=1)
    die_before(theatre.bookings, "confirm")
    with pytest.raises(Killed):
        theatre.book_hold(hold, key="k1")
    theatre.book("ada", "k1", standing=1)
    theatre.pass_time(11)
    assert theatre.available()["standing"] == 1
    assert theatre.box_office.find_hold("ada", hold["id"]) == hold
    assert theatre.book_hold(hold, key="k2")[0]["status"] == "confirmed"
    assert theatre.available()["standing"] == 1


def test_slower_request_for_a_hold_leaves_it_when_its_key_was_used_for_another_booking(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=1)
    before(theatre.bookings, "confirm", lambda: theatre.book("ada", "k1", standing=1))
    with pytest.raises(IdempotencyKeyReused):
        theatre.book_hold(hold, key="k1")
    theatre.pass_time(4)
    assert theatre.book_hold(hold, key="k2")[0]["status"] == "confirmed"
    assert theatre.available()["standing"] == 1


def test_hold_lost_with_redis_is_said_to_have_expired(theatre: Theatre) -> None:
    hold = theatre.hold("ada", standing=1)
    theatre.forget()
    with pytest.raises(HoldExpired):
        theatre.book_hold(hold)
    assert theatre.available() == ALL


def test_hold_of_what_mongodb_has_sold_is_lost(theatre: Theatre) -> None:
    sold, _ = theatre.book("bob", standing=2)
    roll_back(theatre)
    hold = theatre.hold("ada", standing=2)
    with pytest.raises(HoldExpired):
        theatre.book_hold(hold)
    assert theatre.sold() == {sold["_id"]}
    assert theatre.available()["standing"] == 1


# --- a Redis that has lost what it knew


def test_concert_that_redis_forgot_is_counted_not_sold_out(theatre: Theatre) -> None:
    theatre.book(standing=2)
    theatre.forget()
    theatre.book("bob", standing=1)
    with pytest.raises(SoldOut):
        theatre.book("bob", standing=1)
    theatre.forget()
    assert theatre.available() == {"standing": 0, "balcony": 2}


def test_concert_that_redis_forgets_while_it_is_counted_is_counted_again(theatre: Theatre) -> None:
    theatre.forget()
    before(theatre.bookings, "sold", theatre.forget)
    assert theatre.available() == ALL


def test_concert_that_is_not_there_is_not_waited_for(theatre: Theatre) -> None:
    nowhere = new_id()
    theatre.counts.begin(nowhere)  # somebody else asks for it too
    with pytest.raises(ConcertNotFound):
        theatre.inventory.availability(nowhere)


def test_who_waits_in_vain_for_a_concert_to_be_counted_may_come_again(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "PATIENCE", 0.1)
    theatre.forget()
    theatre.counts.begin(theatre.concert_id)  # somebody who never ends it
    with pytest.raises(Unavailable):
        theatre.book(standing=1)


def test_terms_are_set_after_who_counts_already_has_ended(theatre: Theatre) -> None:
    count = theatre.counts.begin(theatre.concert_id)
    assert count is not None
    before(theatre.counts, "is_running", lambda: theatre.counts.end(count))
    theatre.inventory.set_terms(terms(theatre.concert_id, version=2, capacities={"standing": 9}))
    assert theatre.available() == {"standing": 9}


def test_unit_sold_behind_redis_back_is_marked_and_another_is_tried(theatre: Theatre) -> None:
    first, _ = theatre.book("ada", standing=2)
    roll_back(theatre)
    second, _ = theatre.book("bob", standing=1)
    assert not set(first["claims"]) & set(second["claims"])
    assert theatre.sold() == {first["_id"], second["_id"]}
    assert theatre.available()["standing"] == 0


def test_no_unit_is_left_when_all_were_sold_behind_redis_back(theatre: Theatre) -> None:
    theatre.book("ada", standing=3)
    roll_back(theatre)
    with pytest.raises(SoldOut):
        theatre.book("bob", standing=1)
    assert theatre.available() == {"standing": 0, "balcony": 2}


def test_named_seat_sold_behind_redis_back_is_not_available() -> None:
    theatre = Theatre(seating={"stalls": hall("1")})
    wanted = seats("stalls", "B-1-3")
    theatre.box_office.book("ada", "k1", theatre.concert_id, wanted)
    roll_back(theatre)
    with pytest.raises(TicketsUnavailable):
        theatre.box_office.book("bob", "k2", theatre.concert_id, wanted)


def test_limit_holds_though_redis_forgot_what_the_buyer_has() -> None:
    theatre = Theatre(limit=2)
    theatre.book("ada", standing=2)
    roll_back(theatre)
    with pytest.raises(LimitReached):
        theatre.book("ada", balcony=1)
    assert len(theatre.sold()) == 1


def test_sold_out_is_not_answered_while_tickets_are_free(theatre: Theatre) -> None:
    request = theatre.inventory.hold_request("ada", theatre.concert_id, items(standing=3))
    leaked = theatre.holds.place_for_booking(theatre.concert_id, "leaked", request)
    theatre.holds.settle(theatre.concert_id, "leaked", leaked.mark)  # and yet MongoDB has no such booking
    theatre.book("bob", standing=1)


def test_sold_out_is_counted_again_after_a_while(theatre: Theatre) -> None:
    theatre.book("ada", standing=3)
    theatre.pass_time(16)
    theatre.available()  # counted again after it was first loaded
    for seconds, counted in ((61, 1), (30, 0), (31, 1), (1, 0)):
        theatre.pass_time(seconds)
        loads = theatre.redis.loads
        with pytest.raises(SoldOut):
            theatre.book("bob", standing=1)
        assert theatre.redis.loads - loads == counted


def test_write_that_ends_after_redis_was_lost_and_counted_is_found_out(theatre: Theatre) -> None:
    def lose_and_count() -> None:
        theatre.forget()
        theatre.available()

    before(theatre.bookings, "confirm", lose_and_count)
    die_before(theatre.holds, "settle")
    with pytest.raises(Killed):
        theatre.book("ada", standing=3)
    assert theatre.available()["standing"] == 3  # Redis cannot know
    theatre.pass_time(16)
    assert theatre.available()["standing"] == 0


def test_without_redis_nothing_is_booked(theatre: Theatre) -> None:
    theatre.redis.unreachable = True
    with pytest.raises(RedisError):
        theatre.book(standing=1)
    assert theatre.sold() == set()


def test_booking_that_is_written_is_answered_though_redis_fails(theatre: Theatre) -> None:
    before(theatre.bookings, "confirm", lambda: setattr(theatre.redis, "unreachable", True))
    booking, replayed = theatre.book(standing=2)
    assert not replayed
    theatre.redis.unreachable = False
    assert theatre.bookings.find(booking["_id"]) == booking
    theatre.pass_time(11)
    assert theatre.available()["standing"] == 1


# --- a MongoDB that fails


@pytest.mark.parametrize("from_", ["find", "confirm"])
def test_without_mongodb_nothing_is_held_for_long(theatre: Theatre, from_: str) -> None:
    before(theatre.bookings, from_, lambda: setattr(theatre.bookings, "unreachable", True))
    with pytest.raises(PyMongoError):
        theatre.book(standing=1)
    theatre.bookings.unreachable = False
    theatre.pass_time(11)
    assert theatre.available() == ALL


def test_tickets_of_a_write_of_unknown_end_are_what_mongodb_says(theatre: Theatre) -> None:
    for written in (True, False):
        confirm = theatre.bookings.confirm

        def lose_the_answer(*arguments: Any, written: bool = written, confirm: Any = confirm) -> BookingDocument:
            if written:
                confirm(*arguments)
            raise PyMongoError("no answer")

        theatre.bookings.confirm = lose_the_answer  # type: ignore[method-assign]
        with pytest.raises(PyMongoError):
            theatre.book(standing=1)
        theatre.bookings.confirm = confirm  # type: ignore[method-assign]
        theatre.pass_time(11)
    assert theatre.available()["standing"] == 2


def test_sales_that_closed_before_the_write_release_the_tickets() -> None:
    theatre = Theatre()
    before(theatre.bookings, "confirm", lambda: theatre.pass_time(3601))
    with pytest.raises(SalesClosed):
        theatre.book(standing=2)
    assert theatre.available() == ALL
    assert theatre.sold() == set()


def test_unit_whose_buyer_cancels_meanwhile_is_tried_again() -> None:
    class Cancelling(FakeBookings):
        refused = 0

        def confirm(self, *arguments: Any) -> BookingDocument:
            if self.refused == 0:
                self.refused += 1
                raise ClaimTaken(None, ())
            return super().confirm(*arguments)

    booking, _ = Theatre(Cancelling()).book(standing=3)
    assert len(booking["tickets"]) == 3


def test_who_never_finds_a_free_unit_is_told_to_come_again() -> None:
    class Refusing(FakeBookings):
        def confirm(self, *_: Any) -> BookingDocument:
            raise ClaimTaken(None, ())

    theatre = Theatre(Refusing())
    with pytest.raises(Unavailable):
        theatre.book(standing=1)
    assert theatre.available() == ALL


# --- cancelling


def test_cancelled_tickets_can_be_booked_at_once(theatre: Theatre) -> None:
    booking, _ = theatre.book("ada", standing=3)
    cancelled = theatre.box_office.cancel("ada", booking["_id"])
    assert cancelled["status"] == "cancelled"
    theatre.book("bob", standing=3)


def test_cancelled_booking_of_a_hold_frees_its_tickets(theatre: Theatre) -> None:
    booking, _ = theatre.book_hold(theatre.hold("ada", standing=3))
    theatre.box_office.cancel("ada", booking["_id"])
    assert theatre.available() == ALL


def test_booking_is_cancelled_once_and_by_its_buyer(theatre: Theatre) -> None:
    booking, _ = theatre.book("ada", standing=1)
    with pytest.raises(BookingNotFound):
        theatre.box_office.cancel("bob", booking["_id"])
    theatre.box_office.cancel("ada", booking["_id"])
    with pytest.raises(AlreadyCancelled):
        theatre.box_office.cancel("ada", booking["_id"])


def test_cancel_whose_process_died_before_its_answer_is_answered_by_the_next(theatre: Theatre) -> None:
    booking, _ = theatre.book("ada", standing=1)
    die_before(theatre.holds, "release")
    with pytest.raises(Killed):
        theatre.box_office.cancel("ada", booking["_id"], "r1")
    for other in (("r2", True), ("r1", False), (None, True)):
        with pytest.raises(AlreadyCancelled):
            theatre.box_office.cancel("ada", booking["_id"], *other)
    assert theatre.box_office.cancel("ada", booking["_id"], "r1", redelivered=True)["status"] == "cancelled"
    assert theatre.available() == ALL


def test_booking_is_not_cancelled_after_sales_closed(theatre: Theatre) -> None:
    booking, _ = theatre.book("ada", standing=1)
    theatre.inventory.set_terms(terms(theatre.concert_id, version=2, closes_in=timedelta(seconds=-1)))
    with pytest.raises(NotCancellable):
        theatre.box_office.cancel("ada", booking["_id"])
    assert theatre.sold() == {booking["_id"]}


def test_booking_is_cancelled_though_redis_fails_and_the_event_frees_the_tickets(theatre: Theatre) -> None:
    booking, _ = theatre.book("ada", standing=3)
    theatre.redis.unreachable = True
    cancelled = theatre.box_office.cancel("ada", booking["_id"])
    theatre.redis.unreachable = False
    assert theatre.available()["standing"] == 0
    told = cancelled["outbox"][-1]["data"]
    for _ in range(2):  # an event may come twice
        theatre.box_office.release(told["concert_id"], told["booking_id"], told["claims"], told["hold_id"])
    assert theatre.available()["standing"] == 3


def test_late_release_leaves_the_next_buyer_alone(theatre: Theatre) -> None:
    booking, _ = theatre.book("ada", standing=3)
    told = theatre.box_office.cancel("ada", booking["_id"])["outbox"][-1]["data"]
    theatre.book("bob", standing=3)
    theatre.box_office.release(told["concert_id"], told["booking_id"], told["claims"], told["hold_id"])
    assert theatre.available()["standing"] == 0


@pytest.mark.parametrize("from_hold", [False, True])
def test_booking_cancelled_before_its_hold_is_settled_leaks_nothing(theatre: Theatre, from_hold: bool) -> None:
    def cancel() -> None:
        theatre.box_office.cancel("ada", domain.booking_id("ada", "k1"))

    hold = theatre.hold("ada", standing=3) if from_hold else None
    before(theatre.holds, "settle", cancel)
    if hold:
        theatre.book_hold(hold, key="k1")
    else:
        theatre.book("ada", "k1", standing=3)
    assert theatre.sold() == set()
    assert theatre.available() == ALL


@pytest.mark.parametrize("from_hold", [False, True])
@pytest.mark.parametrize("told_by", ["cancel", "event", "doubt"])
@pytest.mark.parametrize("redis_meanwhile", ["stays", "restarts", "is emptied", "is counted"])
def test_cancelled_booking_that_was_never_settled_leaks_nothing(
    theatre: Theatre, from_hold: bool, told_by: str, redis_meanwhile: str
) -> None:
    hold = theatre.hold("ada", standing=3) if from_hold else None
    die_before(theatre.holds, "settle")
    with pytest.raises(Killed):
        theatre.book_hold(hold, key="k1") if hold else theatre.book("ada", "k1", standing=3)
    match redis_meanwhile:
        case "restarts":
            theatre.redis.restart(theatre.concert_id)
        case "is emptied":
            theatre.forget()
        case "is counted":
            recount(theatre)
    if told_by != "cancel":
        before(theatre.holds, "release", unreachable)
    cancelled = theatre.box_office.cancel("ada", domain.booking_id("ada", "k1"))
    if told_by == "event":
        told = cancelled["outbox"][-1]["data"]
        theatre.box_office.release(told["concert_id"], told["booking_id"], told["claims"], told["hold_id"])
    if told_by == "doubt" or redis_meanwhile == "restarts":
        theatre.pass_time(11)
    for _ in range(2):
        assert theatre.available() == ALL
        recount(theatre)
    if hold:
        with pytest.raises(HoldExpired):
            theatre.box_office.find_hold("ada", hold["id"])


def test_booking_cancelled_while_redis_is_told_of_it_leaks_nothing(theatre: Theatre) -> None:
    booking, _ = theatre.book("ada", standing=2)
    roll_back(theatre)
    before(theatre.holds, "mark_sold", lambda: theatre.box_office.cancel("ada", booking["_id"]))
    theatre.book("bob", standing=1)
    assert theatre.available()["standing"] == 2


@pytest.mark.parametrize("act", ["cancel", "book"])
def test_what_happens_while_it_is_counted_is_counted(theatre: Theatre, act: str) -> None:
    booking, _ = theatre.book("ada", standing=2)
    count = theatre.bookings.sold

    def count_then_act(concert_id: str) -> list[tuple[str, list[str]]]:
        theatre.bookings.sold = count  # type: ignore[method-assign]
        counted = count(concert_id)
        if act == "cancel":
            theatre.box_office.cancel("ada", booking["_id"])
        else:
            theatre.book("bob", standing=1)
        return counted

    theatre.bookings.sold = count_then_act  # type: ignore[method-assign]
    recount(theatre)
    assert theatre.available()["standing"] == {"cancel": 3, "book": 0}[act]


def test_older_terms_change_nothing(theatre: Theatre) -> None:
    theatre.inventory.set_terms(terms(theatre.concert_id, version=3, capacities={"standing": 1}))
    theatre.inventory.set_terms(terms(theatre.concert_id, version=2, capacities={"standing": 9}))
    assert theatre.available() == {"standing": 1}


def test_seat_map_is_that_of_the_newest_terms_though_another_process_set_them() -> None:
    theatre = Theatre(seating={"balcony": hall("1")})
    known = theatre.terms.newest(theatre.concert_id)
    theatre.inventory.set_terms(terms(theatre.concert_id, version=2, seating={"balcony": hall("1", "2")}))
    theatre.terms.known = lambda _: known  # type: ignore[method-assign]  # as this process remembers them
    types = theatre.inventory.seats(theatre.concert_id, None)["ticket_types"]
    assert types and types[0]["states"] == "a" * 12


def test_seat_map_is_told_again_only_when_it_changed() -> None:
    theatre = Theatre(seating={"balcony": hall("1", blocked_seats=["B-1-6"])})
    first = theatre.inventory.seats(theatre.concert_id, None)
    assert first["ticket_types"] == [
        {"code": "balcony", "seating": hall("1")["seating"], "states": "aaaaax"},
    ]
    assert theatre.inventory.seats(theatre.concert_id, first["tag"]) == {"tag": first["tag"], "ticket_types": None}
    theatre.book_hold(theatre.hold("ada", asked=seats("balcony", "B-1-1")))
    theatre.hold("bob", asked=seats("balcony", "B-1-2"))
    changed = theatre.inventory.seats(theatre.concert_id, first["tag"])
    assert changed["ticket_types"] and changed["ticket_types"][0]["states"] == "bhaaax"


def roll_back(theatre: Theatre) -> None:
    """Redis comes back from before any ticket was sold."""
    sold: Callable[[str], Any] = theatre.bookings.sold
    theatre.forget()
    theatre.bookings.sold = lambda _: []  # type: ignore[method-assign]
    theatre.available()
    theatre.bookings.sold = sold  # type: ignore[method-assign]


def recount(theatre: Theatre) -> None:
    theatre.inventory.set_terms(theatre.terms.newest(theatre.concert_id).terms)


def unreachable() -> None:
    raise RedisUnreachable("as the test asked")
