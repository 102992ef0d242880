import base64
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from booking_svc import domain
from booking_svc.bookings import INDEXES, REFUSAL_KEPT, Bookings, ClaimTaken
from booking_svc.contract import SalesClosed
from booking_svc.domain import BookingDocument
from rabbitmq.database import Document
from tests.integration.booking_svc.crowd import all_at_once
from tests.unit.booking_svc.bookings_contract import BookingsContract, cancel, closed, later
from tests.unit.booking_svc.concerts import draft, new_id, terms

CROWD = 16
DOCUMENT_FAILED_VALIDATION = 121


class TestBookings(BookingsContract):
    pass


def test_database_answers_for_a_majority_with_its_journal(mongo: Database[Document]) -> None:
    assert mongo.write_concern == WriteConcern("majority", j=True)
    assert mongo.read_concern == ReadConcern("majority")


def test_confirmed_at_is_by_the_databases_clock(bookings: Bookings, mongo: Database[Document], concert_id: str) -> None:
    before = clock(mongo)
    stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
    assert before <= stored["confirmed_at"] <= clock(mongo)
    assert stored["confirmed_at"].tzinfo is not None


def test_cancelled_at_is_by_the_databases_clock(bookings: Bookings, mongo: Database[Document], concert_id: str) -> None:
    stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
    before = clock(mongo)
    cancelled = cancel(bookings, stored)
    assert cancelled is not None
    assert before <= cancelled["cancelled_at"] <= clock(mongo)
    assert [entry["at"] for entry in cancelled["history"]] == [stored["confirmed_at"], cancelled["cancelled_at"]]


def test_no_booking_is_confirmed_at_sales_close_or_refused_before_it(
    bookings: Bookings, mongo: Database[Document]
) -> None:
    for _ in range(5):  # so that some write meets the very millisecond
        concert_id, closes = new_id(), clock(mongo) + timedelta(milliseconds=60)
        all_at_once(CROWD, lambda _: book_until_closed(bookings, concert_id, closes))  # noqa: B023
        written = list(mongo["bookings"].find({"concert_id": concert_id}))
        confirmed = [booking["confirmed_at"] for booking in written if booking["status"] == "confirmed"]
        refused = [booking["refused_at"] for booking in written if booking["status"] == "refused"]
        assert len(refused) == CROWD
        assert all(moment < closes for moment in confirmed)
        assert all(moment >= closes for moment in refused)


@pytest.mark.parametrize(
    "claims",
    [
        ["unit:standing:1", "unit:standing:1", "buyer:ada:1", "buyer:ada:2"],
        ["unit:standing:1", "unit:standing:2", "buyer:ada:1", "buyer:ada:1"],
        ["unit:standing:1"],
        [],
        "unit:standing:1",
    ],
    ids=str,
)
def test_claims_that_would_escape_the_index_are_refused(bookings: Bookings, concert_id: str, claims: list[str]) -> None:
    with pytest.raises(OperationFailure) as refused:
        bookings.confirm({**draft(terms(concert_id), "standing:1"), "claims": claims})
    assert refused.value.code == DOCUMENT_FAILED_VALIDATION
    assert list(bookings.sold(concert_id)) == []


@pytest.mark.parametrize("title", ["$title", "$$NOW", "$$ROOT", "$where", "a.b", "{$gt: 1}", "Ünïcode 🎻", ""])
def test_text_is_stored_as_it_is_said(bookings: Bookings, concert_id: str, title: str) -> None:
    asked = draft(terms(concert_id, title=title), "standing:1")
    assert bookings.confirm(asked)["concert"] == asked["concert"]
    assert bookings.find(asked["_id"])["concert"]["title"] == title  # type: ignore[index]


@pytest.mark.parametrize("field", ["$where", "$set", "$$NOW", "a.b", "", "_id"])
def test_fields_are_stored_as_they_are_named(bookings: Bookings, concert_id: str, field: str) -> None:
    asked = draft(terms(concert_id), "standing:1")
    asked["concert"] = {**asked["concert"], "venue": {field: "$status"}}
    bookings.confirm(asked)
    assert bookings.find(asked["_id"])["concert"]["venue"] == {field: "$status"}  # type: ignore[index]


def test_event_of_a_cancel_is_stored_as_it_is_said(bookings: Bookings, concert_id: str) -> None:
    stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
    stored["claims"] = ["$claims", "$$NOW"]
    cancelled = cancel(bookings, stored)
    assert cancelled is not None
    assert cancelled["outbox"][-1]["data"]["claims"] == ["$claims", "$$NOW"]


def test_refused_booking_leaves_a_trace_without_claims_that_fades(
    bookings: Bookings, mongo: Database[Document], concert_id: str
) -> None:
    asked = draft(closed(concert_id), "standing:1")
    with pytest.raises(SalesClosed):
        bookings.confirm(asked)
    [trace] = mongo["bookings"].find({"concert_id": concert_id})
    assert trace.keys() == {"_id", "status", "concert_id", "refused_at"}
    indexes = mongo["bookings"].index_information()
    assert indexes["refusals_expire"]["expireAfterSeconds"] == REFUSAL_KEPT
    confirmed = bookings.confirm({**asked, "sales_close_at": later()})
    assert "refused_at" not in confirmed


def test_mail_is_recorded_once(bookings: Bookings, concert_id: str) -> None:
    stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
    first = datetime(2026, 12, 1, 19, tzinfo=UTC)
    for sent_at in (first, first + timedelta(hours=1)):
        bookings.record_confirmation_mail(stored["_id"], "confirmation", sent_at)
    assert mail_of(bookings, stored) == ("confirmation", "sent", first, None)


def mail_of(bookings: Bookings, booking: BookingDocument) -> tuple[object, ...]:
    found = bookings.find(booking["_id"])
    assert found is not None
    return tuple(found["confirmation_mail"][field] for field in ("kind", "state", "sent_at", "reason"))


def test_mail_that_failed_says_why_until_it_is_sent_after_all(bookings: Bookings, concert_id: str) -> None:
    stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
    bookings.record_failed_confirmation(stored["_id"], "confirmation", "550 no such mailbox")
    assert mail_of(bookings, stored) == ("confirmation", "failed", None, "550 no such mailbox")
    sent_at = datetime(2026, 12, 1, 19, tzinfo=UTC)
    bookings.record_confirmation_mail(stored["_id"], "confirmation", sent_at)
    bookings.record_failed_confirmation(stored["_id"], "confirmation", "late news")
    assert mail_of(bookings, stored) == ("confirmation", "sent", sent_at, None)


def test_mail_that_is_asked_for_again_is_not_taken_for_the_one_before(
    bookings: Bookings, mongo: Database[Document], concert_id: str
) -> None:
    stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
    sent_at = datetime(2026, 12, 1, 19, tzinfo=UTC)
    bookings.record_confirmation_mail(stored["_id"], "confirmation", sent_at)
    sent = bookings.find(stored["_id"])
    assert sent is not None
    mail, event = domain.resend_confirmation(sent, sent_at, sent_at, None)
    requested = bookings.request_confirmation(sent, mail, event)
    assert requested is not None and event["event_id"] in [e["event_id"] for e in requested["outbox"]]
    assert bookings.request_confirmation(sent, mail, event) is None, "it has changed since it was read"
    bookings.record_confirmation_mail(stored["_id"], "confirmation", sent_at)
    assert mail_of(bookings, stored) == ("resend-1", "queued", None, None)
    bookings.record_confirmation_mail(stored["_id"], "resend-1", sent_at)
    assert mail_of(bookings, stored) == ("resend-1", "sent", sent_at, None)


def test_mail_of_a_booking_that_is_not_changes_nothing(bookings: Bookings) -> None:
    booking_id = new_id()
    bookings.record_confirmation_mail(booking_id, "confirmation", datetime.now(UTC))
    assert bookings.find(booking_id) is None


def test_pages_hold_each_booking_once_though_all_are_of_the_same_moment(
    bookings: Bookings, mongo: Database[Document], concert_id: str
) -> None:
    user_id = new_id()
    stored = [book(bookings, concert_id, user_id, slot) for slot in range(1, 8)]
    moment = datetime(2026, 12, 1, 19, 0, 0, 123_000, tzinfo=UTC)
    mongo["bookings"].update_many({"user_id": user_id}, {"$set": {"confirmed_at": moment}})
    pages = list(pages_of(bookings, user_id, 2))
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    listed = [booking["_id"] for page in pages for booking in page]
    assert listed == sorted(booking["_id"] for booking in stored)


def test_pages_are_newest_first_and_not_disturbed_by_a_new_booking(bookings: Bookings, concert_id: str) -> None:
    user_id = new_id()
    stored = [book(bookings, concert_id, user_id, slot)["_id"] for slot in range(1, 6)]
    first = bookings.page_of_user(user_id, 3, None)
    newer = book(bookings, concert_id, user_id, 6)["_id"]
    second = bookings.page_of_user(user_id, 3, first.next_cursor)
    assert second.next_cursor is None
    listed = [booking["_id"] for booking in [*first.documents, *second.documents]]
    assert sorted(listed) == sorted(stored)
    moments = [booking["confirmed_at"] for booking in [*first.documents, *second.documents]]
    assert moments == sorted(moments, reverse=True)
    assert bookings.page_of_user(user_id, 1, None).documents[0]["_id"] == newer


def test_page_that_is_just_full_is_the_last(bookings: Bookings, concert_id: str) -> None:
    user_id = new_id()
    for slot in (1, 2):
        book(bookings, concert_id, user_id, slot)
    assert bookings.page_of_user(user_id, 2, None).next_cursor is None


def test_pages_leave_out_other_users_and_refusals(bookings: Bookings, concert_id: str) -> None:
    user_id = new_id()
    mine = book(bookings, concert_id, user_id, 1)
    cancel(bookings, mine)
    book(bookings, concert_id, new_id(), 2)
    with pytest.raises(SalesClosed):
        bookings.confirm(draft(closed(concert_id), "standing:3", user_id=user_id))
    page = bookings.page_of_user(user_id, 10, None)
    assert [booking["status"] for booking in page.documents] == ["cancelled"]


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "====", "Ü", "\ud800", "bm90IGpzb24="),
        encoded(None),
        encoded(7),
        encoded([]),
        encoded({"a": 1, "b": 2}),
        encoded(["yesterday", "x"]),
        encoded([2026, "x"]),
        encoded(["2026-12-01T19:00:00", "x"]),
        encoded(["9999-12-31T23:59:59-01:00", "x"]),
        encoded(["9999-12-31T23:59:59Z", "\ud800"]),
    ],
)
def test_cursor_that_cannot_be_read_means_the_beginning(bookings: Bookings, concert_id: str, cursor: str) -> None:
    user_id = new_id()
    stored = book(bookings, concert_id, user_id, 1)
    assert [b["_id"] for b in bookings.page_of_user(user_id, 10, cursor).documents] == [stored["_id"]]


def test_cursor_cannot_ask_the_database_anything_else(bookings: Bookings, concert_id: str) -> None:
    user_id = new_id()
    book(bookings, concert_id, user_id, 1)
    cursor = encoded(["9999-12-31T23:59:59Z", {"$gt": ""}])
    assert [b["user_id"] for b in bookings.page_of_user(user_id, 10, cursor).documents] == [user_id]


def test_one_of_a_crowd_gets_the_unit(bookings: Bookings, concert_id: str) -> None:
    answers = rush_for_one_unit(bookings, concert_id)
    assert answers.count("confirmed") == 1
    assert set(answers) == {"confirmed", "taken"}
    assert len(list(bookings.sold(concert_id))) == 1


def test_crowd_would_get_the_same_unit_without_the_index(
    new_database: Callable[[], Database[Document]], concert_id: str
) -> None:
    database = new_database()
    unguarded = Bookings(database)
    database["bookings"].drop_index("one_owner_per_claim")
    assert rush_for_one_unit(unguarded, concert_id).count("confirmed") > 1, "the race above shows nothing"


def test_crowd_with_one_key_writes_one_booking(bookings: Bookings, concert_id: str) -> None:
    on_sale = terms(concert_id)

    def write(number: int) -> BookingDocument:
        return bookings.confirm(draft(on_sale, f"standing:{number + 1}", user_id="ada", key=concert_id))

    answers = all_at_once(CROWD, write)
    assert all(answer == answers[0] for answer in answers)
    assert list(bookings.sold(concert_id)) == [(answers[0]["_id"], answers[0]["claims"])]


def test_one_of_many_cancels_wins(bookings: Bookings, concert_id: str) -> None:
    stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
    answers = all_at_once(CROWD, lambda _: cancel(bookings, stored))
    assert sum(answer is not None for answer in answers) == 1
    found = bookings.find(stored["_id"])
    assert found is not None
    assert len(found["outbox"]) == 2


def test_collection_may_be_prepared_by_several_processes_at_once_and_again(
    new_database: Callable[[], Database[Document]], concert_id: str
) -> None:
    database = new_database()
    for _ in range(2):
        all_at_once(4, lambda _: Bookings(database))
    names = {index.document["name"] for index in INDEXES}
    assert set(database["bookings"].index_information()) == {"_id_", *names}


def test_validator_of_an_older_release_is_replaced(
    new_database: Callable[[], Database[Document]], concert_id: str
) -> None:
    database = new_database()
    database.create_collection("bookings", validator={"never": True})
    Bookings(database).confirm(draft(terms(concert_id), "standing:1"))


def test_looking_for_bookings_reads_no_others(bookings: Bookings, mongo: Database[Document]) -> None:
    wanted = {
        "one_owner_per_claim": {"concert_id": "c", "status": "confirmed"},
        "bookings_of_a_user": {"user_id": "u", "status": {"$in": ["confirmed", "cancelled"]}},
    }
    for index, query in wanted.items():
        plan = mongo["bookings"].find(query).explain()["queryPlanner"]["winningPlan"]
        assert f"'indexName': '{index}'" in str(plan)


def clock(mongo: Database[Document]) -> datetime:
    now: datetime = mongo.client.admin.command("hello")["localTime"]
    return now.replace(tzinfo=UTC)


def book(bookings: Bookings, concert_id: str, user_id: str, slot: int) -> BookingDocument:
    asked = draft(terms(concert_id), f"standing:{slot}", user_id=user_id)
    asked["claims"] = [f"unit:standing:{slot}", f"buyer:{user_id}:{slot}"]
    return bookings.confirm(asked)


def book_until_closed(bookings: Bookings, concert_id: str, closes: datetime) -> None:
    on_sale = terms(concert_id)
    with pytest.raises(SalesClosed):
        while True:
            unit = f"standing:{random.randrange(10**12)}"
            bookings.confirm({**draft(on_sale, unit), "sales_close_at": closes})


def pages_of(bookings: Bookings, user_id: str, limit: int) -> Any:
    cursor = None
    while True:
        page = bookings.page_of_user(user_id, limit, cursor)
        yield page.documents
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def rush_for_one_unit(bookings: Bookings, concert_id: str) -> list[str]:
    on_sale = terms(concert_id)

    def buy(_: int) -> str:
        try:
            return str(bookings.confirm(draft(on_sale, "standing:1"))["status"])
        except ClaimTaken:
            return "taken"

    return all_at_once(CROWD, buy)
