"""What has become of a concert is brought to each of its bookings, once, whoever is killed over it."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from booking_svc import domain, news_desk
from booking_svc.bookings import Bookings
from booking_svc.concert_bookings import ConcertBookings
from booking_svc.contract import SalesTerms
from booking_svc.news_desk import NewsDesk
from booking_svc.rollouts import Rollouts
from booking_svc.terms import Terms
from rabbitmq.database import Document
from rabbitmq.times import to_wire
from tests.integration.booking_svc.crowd import all_at_once
from tests.polling import poll
from tests.unit.booking_svc.concerts import draft, new_id, terms

SOLD = 23


class Killed(Exception):
    """The process ended here."""


class Newsroom:
    """A concert that has sold, and desks that bring the news to its bookings."""

    def __init__(self, mongo: Database[Document]) -> None:
        self.id, self.mongo = new_id(), mongo
        self.bookings, self.terms, self.rollouts = Bookings(mongo), Terms(mongo), Rollouts(mongo)
        self.sold_by = terms(self.id, capacities={"standing": 1000})
        self.terms.set(self.sold_by)
        for number in range(SOLD):
            self.book(number)

    def book(self, number: int, sold_by: SalesTerms | None = None) -> Document:
        return self.bookings.confirm(draft(sold_by or self.sold_by, f"standing:{number + 1}", key=f"{self.id}{number}"))

    def desk(self, settling: float = 0) -> NewsDesk:
        """What one more process works with."""
        return NewsDesk(self.rollouts, ConcertBookings(self.mongo), self.terms, timedelta(seconds=settling))

    def move(self, version: int = 2, **changes: Any) -> SalesTerms:
        moved = terms(self.id, version=version, capacities={"standing": 1000}, **changes)
        self.terms.set(moved)
        return moved

    def stored(self) -> list[Document]:
        return list(self.mongo["bookings"].find({"concert_id": self.id}).sort("_id"))

    def told(self, event: str) -> Counter[int]:
        """How many bookings have told *event* how often."""
        return Counter(sum(e["type"] == event for e in booking["outbox"]) for booking in self.stored())

    def forget_lease(self) -> None:
        """The lease of whoever was killed ends."""
        self.mongo["rollouts"].update_many({"concert_id": self.id}, {"$set": {"next_at": datetime.now(UTC)}})

    def progress(self) -> tuple[str, int, int, int]:
        (rollout,) = self.rollouts.newest(self.id)
        return rollout["state"], rollout["total"], rollout["looked_at"], rollout["changed"]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_desk, "BATCH", 5)


@pytest.fixture
def room(new_database: Callable[[], Database[Document]]) -> Newsroom:
    return Newsroom(new_database())


def finish(room: Newsroom, desk: NewsDesk) -> None:
    poll(lambda: desk.work(5) == 0 and room.progress()[0] != "running", every=0.05)


def test_every_booking_of_a_cancelled_concert_is_cancelled_and_says_why(room: Newsroom) -> None:
    room.desk().begin(room.id, "cancellation", 2, "r1")
    room.desk().begin(room.id, "cancellation", 2, "r1")  # the event, once more
    assert room.progress() == ("running", SOLD, 0, 0)
    finish(room, room.desk())
    assert room.progress() == ("done", SOLD, SOLD, SOLD)
    for booking in room.stored():
        assert (booking["status"], booking["seq"]) == ("cancelled", 2)
        assert [h["status"] for h in booking["history"]] == ["confirmed", "cancelled"]
        assert booking["history"][1]["request_id"] == "r1"
        event = booking["outbox"][1]
        assert (event["type"], event["seq"], event["data"]["reason"]) == ("booking_cancelled", 2, "concert_cancelled")
        assert event["data"]["booking"]["status"] == "cancelled"
        assert event["data"]["claims"] == booking["claims"]


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_whoever_is_killed_over_it_another_carries_on_where_they_were(
    room: Newsroom, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    left = batches
    cancel = ConcertBookings.cancel

    def cancel_or_die(self: ConcertBookings, *args: Any) -> int:
        nonlocal left
        done = cancel(self, *args)  # killed between the batch and the note of it
        left -= 1
        if left < 0:
            raise Killed
        return done

    room.desk().begin(room.id, "cancellation", 2)
    with monkeypatch.context() as mortal, pytest.raises(Killed):
        mortal.setattr(ConcertBookings, "cancel", cancel_or_die)
        room.desk().work(5)
    assert room.progress()[2] == batches * 5
    assert room.desk().work(5) == 0, "it is still the other's"
    room.forget_lease()
    finish(room, room.desk())
    assert room.told("booking_cancelled") == {1: SOLD}


def test_many_desks_at_once_tell_everybody_once(room: Newsroom) -> None:
    room.desk().begin(room.id, "cancellation", 2)
    changed = all_at_once(4, lambda _: room.desk().work(0.2))
    finish(room, room.desk())
    assert sum(changed) <= SOLD and room.progress()[3] == SOLD
    assert room.told("booking_cancelled") == {1: SOLD}


def test_booking_that_was_under_way_is_found_by_the_second_pass(room: Newsroom) -> None:
    desk = room.desk(settling=0.3)
    room.desk().begin(room.id, "cancellation", 2)
    assert desk.work(5) == SOLD
    assert room.progress()[0] == "running"
    room.book(SOLD)
    finish(room, desk)
    assert {b["status"] for b in room.stored()} == {"cancelled"}
    assert room.progress() == ("done", SOLD, SOLD + 1, SOLD + 1)


def test_bookings_of_a_moved_concert_say_where_it_is_and_replays_where_it_was(room: Newsroom) -> None:
    moved = room.move(closes_in=timedelta(days=9))
    room.book(SOLD, moved)  # this one knows
    room.desk().begin(room.id, "reschedule", 2, "r1")
    finish(room, room.desk())
    assert room.told("booking_rescheduled") == {1: SOLD, 0: 1}
    for booking in room.stored():
        assert booking["concert"] == moved["concert"]
        if len(booking["outbox"]) > 1:
            data = booking["outbox"][1]["data"]
            assert data["was"] == room.sold_by["concert"]
            assert data["booking"]["concert"] == moved["concert"]
            assert domain.as_confirmed(booking)["concert"] == room.sold_by["concert"]


def test_concert_that_was_moved_there_and_back_disturbs_nobody(room: Newsroom) -> None:
    room.move(2, closes_in=timedelta(days=9))
    room.terms.set({**room.sold_by, "version": 3})
    for version in (2, 3):
        room.desk().begin(room.id, "reschedule", version)
        room.desk().work(5)
    assert room.told("booking_rescheduled") == {0: SOLD}


def test_who_was_told_of_one_date_is_told_of_the_next(room: Newsroom) -> None:
    for version, days in ((2, 9), (3, 12)):
        room.move(version, closes_in=timedelta(days=days))
        room.desk().begin(room.id, "reschedule", version)
        room.desk().work(5)
    assert room.told("booking_rescheduled") == {2: SOLD}
    assert {b["outbox"][-1]["seq"] for b in room.stored()} == {3}
    assert {b["sold_as"]["starts_at"] for b in room.stored()} == {room.sold_by["concert"]["starts_at"]}


def test_nobody_is_told_of_a_new_date_when_the_concert_is_cancelled(room: Newsroom) -> None:
    room.move(3, status="cancelled")
    room.desk().begin(room.id, "reschedule", 2)
    room.desk().work(5)
    assert room.progress()[0] == "stale"
    assert room.told("booking_rescheduled") == {0: SOLD}


def test_buyers_are_reminded_once_of_each_date(room: Newsroom) -> None:
    cancelled = room.stored()[0]
    event = domain.cancelled_event(cancelled, datetime.now(UTC))
    room.bookings.cancel(cancelled["_id"], datetime.now(UTC) + timedelta(hours=1), event, "ada")
    room.desk().begin(room.id, "reminder", 1)
    finish(room, room.desk())
    assert room.told("booking_reminder_due") == {1: SOLD - 1, 0: 1}
    room.terms.set({**room.sold_by, "version": 2, "max_tickets_per_user": 1})  # another version, the same date
    room.desk().begin(room.id, "reminder", 2)
    room.desk().work(5)
    assert room.told("booking_reminder_due") == {1: SOLD - 1, 0: 1}
    room.move(3, closes_in=timedelta(days=9))
    room.desk().begin(room.id, "reminder", 3)
    room.desk().work(5)
    assert room.told("booking_reminder_due") == {2: SOLD - 1, 0: 1}


def test_whoever_sets_the_terms_of_a_moved_concert_need_not_wait_for_the_event(room: Newsroom) -> None:
    moved = room.move(closes_in=timedelta(days=9))
    room.desk().begin_what_follows(moved, room.sold_by, "r1")
    room.desk().begin(room.id, "reschedule", 2, "r1")  # the event, if it comes
    finish(room, room.desk())
    assert room.told("booking_rescheduled") == {1: SOLD}


def test_terms_that_move_nothing_are_no_news(room: Newsroom) -> None:
    scarcer: SalesTerms = {**room.sold_by, "version": 2, "max_tickets_per_user": 1}
    room.terms.set(scarcer)
    for before in (None, room.sold_by, scarcer):
        room.desk().begin_what_follows(scarcer, before)
    assert room.rollouts.newest(room.id) == []


def test_reminder_of_another_version_is_stale(room: Newsroom) -> None:
    room.move(2)
    room.desk().begin(room.id, "reminder", 1)
    room.desk().work(5)
    assert room.progress()[0] == "stale"
    assert room.told("booking_reminder_due") == {0: SOLD}


def test_sales_are_counted_by_type_and_hour(room: Newsroom) -> None:
    hour = datetime(2026, 12, 1, 18, tzinfo=UTC)
    ids = [b["_id"] for b in room.stored()]
    room.mongo["bookings"].update_many({"_id": {"$in": ids[:3]}}, {"$set": {"confirmed_at": hour}})
    late = hour + timedelta(minutes=59, seconds=59.999)
    room.mongo["bookings"].update_many({"_id": {"$in": ids[3:5]}}, {"$set": {"confirmed_at": late}})
    after = hour + timedelta(hours=1)
    room.mongo["bookings"].update_many({"_id": {"$in": ids[5:]}}, {"$set": {"confirmed_at": after}})
    event = domain.cancelled_event(room.stored()[0], datetime.now(UTC))
    room.bookings.cancel(ids[0], datetime.now(UTC) + timedelta(hours=1), event, "ada")
    sales = ConcertBookings(room.mongo).sales(room.id)
    assert sales["ticket_types"] == [
        {"ticket_type": "standing", "tickets": SOLD - 1, "cancelled": 1,
         "revenue": {"amount": 4500 * (SOLD - 1), "currency": "EUR"}},
    ]  # fmt: skip
    assert [(h["hour"], h["tickets"]) for h in sales["hours"]] == [(to_wire(hour), 4), (to_wire(after), SOLD - 5)]


def test_lists_of_a_concerts_bookings_have_their_index(room: Newsroom) -> None:
    plan = room.mongo["bookings"].find({"concert_id": room.id, "status": {"$in": ["confirmed", "cancelled"]}}).sort(
        [("confirmed_at", -1), ("_id", 1)]
    ).explain()["queryPlanner"]["winningPlan"]  # fmt: skip
    assert "bookings_of_a_concert" in str(plan) and "SORT" not in str(plan)
