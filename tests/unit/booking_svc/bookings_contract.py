"""What the stored bookings promise, whether they lie in MongoDB or in a test's memory."""

from datetime import UTC, datetime, timedelta

import pytest

from booking_svc import domain
from booking_svc.bookings import Bookings, ClaimTaken
from booking_svc.contract import BookingNotFound, SalesClosed, SalesTerms
from booking_svc.domain import BookingDocument
from tests.unit.booking_svc.concerts import draft, new_id, terms


class BookingsContract:
    """Needs the fixtures `bookings` and `concert_id`, a concert nobody else uses."""

    def test_confirmed_booking_is_the_draft_with_status_and_time(self, bookings: Bookings, concert_id: str) -> None:
        asked = draft(terms(concert_id), "standing:1")
        stored = bookings.confirm(asked, "r1")
        added = {key: stored[key] for key in stored.keys() - asked.keys()}
        assert added == {
            "status": "confirmed",
            "confirmed_at": stored["confirmed_at"],
            "history": [
                {"status": "confirmed", "at": stored["confirmed_at"], "by": asked["user_id"], "request_id": "r1"}
            ],
        }
        assert without_events(stored) == without_events(asked) | added
        assert bookings.find(asked["_id"]) == stored

    def test_repeated_write_meets_the_first_booking(self, bookings: Bookings, concert_id: str) -> None:
        first = bookings.confirm(draft(terms(concert_id), "standing:1"))
        again = draft(terms(concert_id), "standing:2", user_id=first["user_id"], key=first["idempotency_key"])
        assert bookings.confirm(again) == first
        assert list(bookings.sold(concert_id)) == [(first["_id"], first["claims"])]

    def test_repeated_write_meets_the_first_booking_after_sales_closed(
        self, bookings: Bookings, concert_id: str
    ) -> None:
        first = bookings.confirm(draft(terms(concert_id), "standing:1"))
        again = draft(closed(concert_id), "standing:2", user_id=first["user_id"], key=first["idempotency_key"])
        assert bookings.confirm(again) == first

    def test_unit_is_sold_once(self, bookings: Bookings, concert_id: str) -> None:
        first = bookings.confirm(draft(terms(concert_id), "standing:1", "standing:2"))
        second = draft(terms(concert_id), "standing:2", "standing:3")
        with pytest.raises(ClaimTaken) as taken:
            bookings.confirm(second)
        assert (taken.value.owner, taken.value.claims) == (first["_id"], first["claims"])
        assert bookings.find(second["_id"]) is None
        assert [owner for owner, _ in bookings.sold(concert_id)] == [first["_id"]]

    def test_slot_of_a_buyer_is_used_once(self, bookings: Bookings, concert_id: str) -> None:
        first = bookings.confirm(draft(terms(concert_id), "standing:1", user_id="ada"))
        with pytest.raises(ClaimTaken) as taken:
            bookings.confirm(draft(terms(concert_id), "standing:2", user_id="ada"))
        assert taken.value.owner == first["_id"]

    def test_same_unit_of_another_concert_is_another_unit(self, bookings: Bookings, concert_id: str) -> None:
        bookings.confirm(draft(terms(concert_id), "standing:1"))
        bookings.confirm(draft(terms(new_id()), "standing:1"))

    def test_sales_closed_leaves_no_booking(self, bookings: Bookings, concert_id: str) -> None:
        late = draft(closed(concert_id), "standing:1")
        with pytest.raises(SalesClosed):
            bookings.confirm(late)
        assert bookings.find(late["_id"]) is None
        assert list(bookings.sold(concert_id)) == []
        with pytest.raises(BookingNotFound):
            bookings.of_user(late["user_id"], late["_id"])

    def test_booking_refused_as_late_may_be_confirmed_when_sales_close_later(
        self, bookings: Bookings, concert_id: str
    ) -> None:
        asked = draft(closed(concert_id), "standing:1")
        with pytest.raises(SalesClosed):
            bookings.confirm(asked)
        assert bookings.confirm({**asked, "sales_close_at": later()})["status"] == "confirmed"

    def test_booking_is_its_buyers_own(self, bookings: Bookings, concert_id: str) -> None:
        stored = bookings.confirm(draft(terms(concert_id), "standing:1", user_id="ada"))
        assert bookings.of_user("ada", stored["_id"]) == stored
        with pytest.raises(BookingNotFound):
            bookings.of_user("bob", stored["_id"])

    def test_cancel_stores_the_event_with_the_state(self, bookings: Bookings, concert_id: str) -> None:
        stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
        cancelled = cancel(bookings, stored)
        assert cancelled is not None
        assert cancelled["status"] == "cancelled"
        assert cancelled["cancelled_at"] >= stored["confirmed_at"]
        assert [event["type"] for event in cancelled["outbox"]] == ["booking_confirmed", "booking_cancelled"]
        assert bookings.find(stored["_id"]) == cancelled

    def test_history_tells_what_happened_when_by_whom_and_for_which_request(
        self, bookings: Bookings, concert_id: str
    ) -> None:
        stored = bookings.confirm(draft(terms(concert_id), "standing:1", user_id="ada"), "r1")
        cancelled = cancel(bookings, stored)
        assert cancelled is not None
        assert cancelled["history"] == [
            {"status": "confirmed", "at": stored["confirmed_at"], "by": "ada", "request_id": "r1"},
            {"status": "cancelled", "at": cancelled["cancelled_at"], "by": "ada", "request_id": "r2"},
        ]

    def test_cancelled_units_can_be_sold_again(self, bookings: Bookings, concert_id: str) -> None:
        cancel(bookings, bookings.confirm(draft(terms(concert_id), "standing:1", user_id="ada")))
        assert list(bookings.sold(concert_id)) == []
        bookings.confirm(draft(terms(concert_id), "standing:1", user_id="ada"))

    def test_booking_is_cancelled_once(self, bookings: Bookings, concert_id: str) -> None:
        stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
        cancel(bookings, stored)
        assert cancel(bookings, stored) is None

    def test_no_booking_is_cancelled_after_sales_closed(self, bookings: Bookings, concert_id: str) -> None:
        stored = bookings.confirm(draft(terms(concert_id), "standing:1"))
        assert cancel(bookings, stored, closes=earlier()) is None
        assert bookings.find(stored["_id"]) == stored

    def test_repeated_write_meets_its_cancelled_booking(self, bookings: Bookings, concert_id: str) -> None:
        asked = draft(terms(concert_id), "standing:1")
        cancelled = cancel(bookings, bookings.confirm(asked))
        assert bookings.confirm(asked) == cancelled


def closed(concert_id: str) -> SalesTerms:
    return terms(concert_id, closes_in=timedelta(seconds=-5))


def later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def earlier() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=5)


def cancel(bookings: Bookings, stored: BookingDocument, closes: datetime | None = None) -> BookingDocument | None:
    event = domain.cancelled_event(stored, datetime.now(UTC), "r2")
    return bookings.cancel(stored["_id"], closes or later(), event, by="ada")


def without_events(booking: BookingDocument) -> BookingDocument:
    """All but the events and the close, whose times MongoDB keeps in milliseconds."""
    return {field: value for field, value in booking.items() if field not in ("outbox", "sales_close_at")}
