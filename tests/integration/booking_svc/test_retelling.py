"""What has had no effect is told again, on a real MongoDB."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import AutoReconnect

from booking_svc import domain
from booking_svc.bookings import SILENT_SINCE, Bookings
from booking_svc.concert_bookings import ConcertBookings
from booking_svc.domain import BookingDocument
from booking_svc.offer import Offer
from booking_svc.retelling import ASIDE, LONGEST_PAUSE, Retelling
from rabbitmq.database import Document
from rabbitmq.errors import Unavailable
from tests.unit.booking_svc.bookings_contract import cancel
from tests.unit.booking_svc.concerts import draft, terms

OVERDUE = timedelta(minutes=10)
MOMENT = timedelta(seconds=1)


@pytest.fixture
def stored(new_database: Callable[[], Database[Document]]) -> Collection[Document]:
    return new_database()["bookings"]


@pytest.fixture
def bookings(stored: Collection[Document]) -> Bookings:
    return Bookings(stored.database)


@pytest.fixture
def retelling(bookings: Bookings) -> Retelling:
    return Retelling(bookings, OVERDUE)


@pytest.fixture
def booking(bookings: Bookings, stored: Collection[Document]) -> BookingDocument:
    """A booking whose event is published."""
    return published(stored, bookings.confirm(draft(terms("c1"), "standing:1"), "r1"))


def published(stored: Collection[Document], booking: BookingDocument) -> BookingDocument:
    """The booking, once the relay was there; *booking* has the event that was published."""
    stored.update_one({"_id": booking["_id"]}, {"$set": {"outbox": []}})
    return booking


def nothing_waits(confirmations: dict[str, str]) -> list[str]:
    """What the mailer says."""
    return []


def told(stored: Collection[Document], booking: BookingDocument) -> list[dict[str, Any]]:
    """What the relay finds; afterwards it is gone."""
    found = stored.find_one_and_update({"_id": booking["_id"]}, {"$set": {"outbox": []}})
    assert found is not None
    return list(found["outbox"])


def test_confirmation_without_effect_is_told_again_as_the_same_event(
    retelling: Retelling, stored: Collection[Document], booking: BookingDocument
) -> None:
    overdue_at = booking["confirmed_at"] + OVERDUE
    assert retelling.tell_overdue(nothing_waits, overdue_at - MOMENT) == 0
    assert retelling.tell_overdue(nothing_waits, overdue_at) == 1
    (first,), (again,) = booking["outbox"], told(stored, booking)
    for field in ("event_id", "source", "type", "seq"):
        assert again[field] == first[field]
    assert again["data"]["booking"]["tickets"] == first["data"]["booking"]["tickets"]
    assert again["request_id"] == "r1"
    assert again["data"]["user_id"] == first["data"]["user_id"]


def test_it_is_told_ever_more_rarely_and_at_least_once_a_day(
    retelling: Retelling, stored: Collection[Document], booking: BookingDocument
) -> None:
    now, pauses = booking["confirmed_at"] + OVERDUE, []
    for _ in range(10):
        assert retelling.tell_overdue(nothing_waits, now) == 1
        told(stored, booking)
        found = stored.find_one({"_id": booking["_id"]})
        assert found is not None
        next_telling = found["confirmation_mail"]["next_telling"]
        assert retelling.tell_overdue(nothing_waits, next_telling - MOMENT) == 0
        pauses.append(next_telling - now)
        now = next_telling
    assert pauses == [min(OVERDUE * 2**n, LONGEST_PAUSE) for n in range(1, 11)]


def test_confirmation_that_is_asked_for_once_more_is_overdue_as_long_after_that(
    bookings: Bookings, retelling: Retelling, stored: Collection[Document], booking: BookingDocument
) -> None:
    stored.update_one({"_id": booking["_id"]}, {"$set": {"confirmation_mail.state": "sent"}})
    sent, asked_at = bookings.find(booking["_id"]), booking["confirmed_at"] + timedelta(hours=1)
    assert sent is not None
    mail, event = domain.resend_confirmation(sent, asked_at + timedelta(days=1), asked_at, "r2")
    assert bookings.request_confirmation(sent, mail, event)
    told(stored, booking)
    assert retelling.tell_overdue(nothing_waits, asked_at + OVERDUE - MOMENT) == 0
    assert retelling.tell_overdue(nothing_waits, asked_at + OVERDUE) == 1
    assert [again["event_id"] for again in told(stored, booking)] == [event["event_id"]]


def test_confirmation_that_is_on_its_way_is_not_told_again_until_the_mailer_does_not_have_it(
    retelling: Retelling, stored: Collection[Document], booking: BookingDocument
) -> None:
    asked: list[dict[str, str]] = []

    def it_waits(confirmations: dict[str, str]) -> list[str]:
        asked.append(confirmations)
        return list(confirmations)

    overdue_at, pause = booking["confirmed_at"] + OVERDUE, OVERDUE * 2
    assert retelling.tell_overdue(it_waits, overdue_at) == 0
    assert retelling.tell_overdue(it_waits, overdue_at + pause - MOMENT) == 0
    assert retelling.tell_overdue(it_waits, overdue_at + pause) == 0
    assert asked == [{booking["_id"]: "confirmation"}] * 2
    assert told(stored, booking) == []
    assert retelling.tell_overdue(nothing_waits, overdue_at + pause * 2) == 1
    assert len(told(stored, booking)) == 1


def silence(_: dict[str, str]) -> list[str]:
    """What the mailer says when it is away."""
    raise Unavailable("mailer_svc")


def test_while_the_mailer_does_not_answer_other_news_is_told_again(
    bookings: Bookings, retelling: Retelling, stored: Collection[Document], booking: BookingDocument
) -> None:
    other = published(stored, bookings.confirm(draft(terms("c1"), "standing:2"), "r2"))
    cancelled = cancel(bookings, other)
    assert cancelled is not None
    published(stored, cancelled)

    overdue_at = cancelled["cancelled_at"] + OVERDUE
    assert retelling.tell_overdue(silence, overdue_at) == 1
    assert (len(told(stored, booking)), len(told(stored, other))) == (0, 1)
    assert retelling.tell_overdue(nothing_waits, overdue_at) == 1


def test_who_waits_for_a_mailer_that_has_long_been_away_is_told_of_again(
    bookings: Bookings, booking: BookingDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("booking_svc.retelling.time", SimpleNamespace(monotonic=lambda: clock[0]))
    retelling, overdue_at = Retelling(bookings, OVERDUE), booking["confirmed_at"] + OVERDUE
    for clock[0] in (1.0, OVERDUE.total_seconds()):
        assert retelling.tell_overdue(silence, overdue_at) == 0
    clock[0] += 2
    assert retelling.tell_overdue(silence, overdue_at) == 1


@pytest.mark.parametrize("change", ["sent", "failed", "cancelled", "not yet published"])
def test_what_has_ended_or_is_about_to_be_told_is_left_alone(
    change: str,
    bookings: Bookings,
    retelling: Retelling,
    stored: Collection[Document],
    booking: BookingDocument,
) -> None:
    if change == "cancelled":
        cancelled = cancel(bookings, booking)
        assert cancelled is not None
        bookings.record_heard(booking["_id"], told(stored, booking)[-1]["event_id"])
    elif change == "not yet published":
        stored.update_one({"_id": booking["_id"]}, {"$set": {"outbox": booking["outbox"]}})
    else:
        stored.update_one({"_id": booking["_id"]}, {"$set": {"confirmation_mail.state": change}})
    assert retelling.tell_overdue(nothing_waits, booking["confirmed_at"] + OVERDUE * 2) == 0


BROKEN: dict[str, Document] = {
    "without a history": {"$set": {"history": []}},
    "told often": {"$set": {"confirmation_mail.tellings": "often"}},
    "asked for five": {"$set": {"confirmation_mail.requested": 5}},
    "of a year that Python does not know": {"$set": {"refused_at": DatetimeMS(2**60)}},
    "that may not be written any more": {"$unset": {"fingerprint": ""}},
}


@pytest.mark.parametrize("broken", BROKEN)
def test_booking_that_cannot_be_read_or_changed_holds_up_no_other_and_is_left_alone_for_a_while(
    broken: str,
    bookings: Bookings,
    retelling: Retelling,
    stored: Collection[Document],
    booking: BookingDocument,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("booking_svc.retelling.BATCH", 1)  # as if there were as many of them as are looked at
    stored.update_one({"_id": booking["_id"]}, BROKEN[broken], bypass_document_validation=True)
    other = published(stored, bookings.confirm(draft(terms("c1"), "standing:2"), "r2"))
    overdue_at = other["confirmed_at"] + OVERDUE
    assert [retelling.tell_overdue(nothing_waits, overdue_at) for _ in range(3)] == [0, 1, 0]
    assert len(told(stored, other)) == 1
    assert caplog.text.count(f"nothing of booking {booking['_id']} can be told again") == 1
    retelling._aside[booking["_id"]] -= ASIDE
    assert retelling.tell_overdue(nothing_waits, overdue_at) == 0
    assert caplog.text.count(booking["_id"]) > 1, "it is tried again"


def test_server_that_is_away_is_no_fault_of_a_booking(
    bookings: Bookings,
    retelling: Retelling,
    stored: Collection[Document],
    booking: BookingDocument,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: Any) -> Any:
        raise AutoReconnect("away")

    overdue_at = booking["confirmed_at"] + OVERDUE
    with monkeypatch.context() as patch:
        patch.setattr(Bookings, "find", away)
        with pytest.raises(AutoReconnect):
            retelling.tell_overdue(nothing_waits, overdue_at)
    assert retelling.tell_overdue(nothing_waits, overdue_at) == 1


def told_by_many(bookings: Bookings, now: datetime) -> list[int]:
    """How many events each of eight processes tells that look at the same time."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: Retelling(bookings, OVERDUE).tell_overdue(nothing_waits, now), range(8)))


def test_of_many_processes_one_tells(
    bookings: Bookings, stored: Collection[Document], booking: BookingDocument
) -> None:
    assert sum(told_by_many(bookings, booking["confirmed_at"] + OVERDUE)) == 1
    assert len(told(stored, booking)) == 1


def test_a_look_uses_its_index(stored: Collection[Document], bookings: Bookings, booking: BookingDocument) -> None:
    explained = stored.find(
        {"status": "confirmed", "confirmation_mail.state": "queued", "confirmed_at": {"$lte": booking["confirmed_at"]}}
    ).sort("confirmed_at", 1)
    assert "confirmations_awaited" in str(explained.explain()["queryPlanner"]["winningPlan"])


# --- other news of a booking


@pytest.fixture
def cancelled(bookings: Bookings, stored: Collection[Document], booking: BookingDocument) -> BookingDocument:
    """A cancelled booking whose event is published."""
    found = cancel(bookings, booking)
    assert found is not None
    return published(stored, found)


def test_news_that_nobody_says_to_have_heard_is_told_again_as_the_same_event(
    retelling: Retelling, stored: Collection[Document], cancelled: BookingDocument
) -> None:
    overdue_at = cancelled["cancelled_at"] + OVERDUE
    assert retelling.tell_overdue(nothing_waits, overdue_at - MOMENT) == 0
    assert retelling.tell_overdue(nothing_waits, overdue_at) == 1
    assert told(stored, cancelled) == [cancelled["outbox"][-1]]


def test_news_is_told_ever_more_rarely_until_it_is_heard(
    bookings: Bookings, retelling: Retelling, stored: Collection[Document], cancelled: BookingDocument
) -> None:
    now, event_id = cancelled["cancelled_at"] + OVERDUE, cancelled["outbox"][-1]["event_id"]
    for number in range(1, 10):
        assert retelling.tell_overdue(nothing_waits, now) == 1
        assert [event["event_id"] for event in told(stored, cancelled)] == [event_id]
        pause = min(OVERDUE * 2**number, LONGEST_PAUSE)
        assert retelling.tell_overdue(nothing_waits, now + pause - MOMENT) == 0
        now += pause
    assert bookings.record_heard(cancelled["_id"], event_id)
    assert not bookings.record_heard(cancelled["_id"], event_id), "that is no news"
    assert retelling.tell_overdue(nothing_waits, now + LONGEST_PAUSE) == 0


def test_each_news_of_a_booking_is_told_until_it_is_heard_itself(
    bookings: Bookings, retelling: Retelling, stored: Collection[Document], booking: BookingDocument
) -> None:
    stored.update_one({"_id": booking["_id"]}, {"$set": {"confirmation_mail.state": "sent"}})
    desk, first = ConcertBookings(stored.database), terms("c1")
    for version in (2, 3):
        moved = {**first["concert"], "starts_at": f"2027-01-0{version}T19:00:00Z"}
        current = bookings.find(booking["_id"])
        assert current is not None
        assert desk.reschedule([current], Offer({**first, "version": version, "concert": moved}), "r1") == 1
    events = told(stored, booking)[-2:]
    assert [event["seq"] for event in events] == [2, 3]
    assert bookings.record_heard(booking["_id"], events[0]["event_id"])
    assert retelling.tell_overdue(nothing_waits, datetime.now(UTC) + OVERDUE) == 1
    assert [event["event_id"] for event in told(stored, booking)] == [events[1]["event_id"]]


def test_of_many_processes_one_tells_news(
    bookings: Bookings, stored: Collection[Document], cancelled: BookingDocument
) -> None:
    assert sum(told_by_many(bookings, cancelled["cancelled_at"] + OVERDUE)) == 1
    assert len(told(stored, cancelled)) == 1


def test_a_look_for_news_uses_its_index(stored: Collection[Document], cancelled: BookingDocument) -> None:
    explained = stored.find({SILENT_SINCE: {"$lte": datetime.now(UTC)}, "outbox": []}).sort(SILENT_SINCE, 1)
    assert "unheard_news" in str(explained.explain()["queryPlanner"]["winningPlan"])
