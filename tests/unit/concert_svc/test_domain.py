"""What a concert is, and when its sales close."""

import copy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concert_svc import domain
from concert_svc.contract import InvalidConcert, StartsTooSoon
from rabbitmq.times import from_wire
from tests.unit.concert_svc.concerts import NEW, NOW, SEATED, a_draft, in_seconds


@given(st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_sales_close_ten_seconds_before_the_start(starts_at: datetime) -> None:
    assert starts_at - domain.sales_close_at(starts_at) == timedelta(seconds=10)


@pytest.mark.parametrize("seconds", [-1, 0, 9.999, 10])
def test_concert_whose_sales_would_have_closed_is_refused(seconds: float) -> None:
    with pytest.raises(StartsTooSoon):
        a_draft(starts_at=in_seconds(seconds))


@pytest.mark.parametrize("seconds", [10.001, 11, 3600])
def test_concert_whose_sales_close_in_the_future_is_taken(seconds: float) -> None:
    draft = a_draft(starts_at=in_seconds(seconds))
    assert draft["sales_close_at"] == NOW + timedelta(seconds=seconds - 10)


def test_new_concert_is_a_draft_of_its_organiser() -> None:
    draft = a_draft()
    assert (draft["status"], draft["organiser_id"], draft["schedule_version"]) == ("draft", "organiser", 1)
    assert (draft["published_at"], draft["closed_at"], draft["outbox"]) == (None, None, [])


def test_each_concert_has_an_id_of_its_own() -> None:
    assert len({a_draft()["_id"] for _ in range(100)}) == 100


def test_limit_per_person_is_ten_unless_the_organiser_says_otherwise() -> None:
    assert a_draft()["max_tickets_per_user"] == 10
    assert a_draft(max_tickets_per_user=2)["max_tickets_per_user"] == 2


def test_terms_say_all_that_booking_needs_to_sell() -> None:
    draft = a_draft(doors_at="2027-01-20T18:00:00Z", sales_open_at="2026-12-24T12:00:00Z")
    assert domain.sales_terms(draft) == {
        "concert_id": draft["_id"],
        "version": 1,
        "status": "on_sale",
        "sales_open_at": "2026-12-24T12:00:00Z",
        "sales_close_at": "2027-01-20T18:59:50Z",
        "max_tickets_per_user": 10,
        "ticket_types": NEW["ticket_types"],
        "concert": {
            "title": NEW["title"],
            "starts_at": "2027-01-20T19:00:00Z",
            "doors_at": "2027-01-20T18:00:00Z",
            "venue": NEW["venue"],
        },
    }


def test_terms_of_a_cancelled_concert_say_so() -> None:
    assert domain.sales_terms({**a_draft(), "status": "cancelled"})["status"] == "cancelled"


@pytest.mark.parametrize("field", ["doors_at", "sales_open_at"])
def test_nothing_opens_after_the_start(field: str) -> None:
    with pytest.raises(InvalidConcert) as refusal:
        a_draft(**{field: "2027-01-20T19:00:01Z"})
    assert refusal.value.args[0] == field
    a_draft(**{field: "2027-01-20T19:00:00Z"})


@pytest.mark.parametrize("city", ["Zürich", "ZÜRICH", "  zu\u0308rich ", "Zurich"])
def test_city_is_found_whatever_its_case_and_accents(city: str) -> None:
    draft = a_draft(venue={**NEW["venue"], "city": city})
    assert draft["city"] == "zurich"


def test_prices_are_what_a_search_compares() -> None:
    assert a_draft(ticket_types=[*NEW["ticket_types"], SEATED])["prices"] == [4500, 8000]


def test_reader_sees_what_the_organiser_said() -> None:
    concert = domain.as_concert(a_draft(description=None, doors_at=None))
    assert {name: concert[name] for name in ("title", "performers", "venue", "starts_at")} == {  # type: ignore[literal-required]
        name: NEW[name]  # type: ignore[literal-required]
        for name in ("title", "performers", "venue", "starts_at")
    }
    assert concert["ticket_types"] == [{**NEW["ticket_types"][0], "admission": "general"}]
    assert (concert["description"], concert["doors_at"], concert["sales_open_at"]) == (None, None, None)


def test_reader_sees_no_outbox() -> None:
    assert "outbox" not in domain.as_concert(a_draft())


def test_drafting_changes_nothing_of_what_was_given() -> None:
    given_ = copy.deepcopy(NEW)
    domain.draft("organiser", given_, NOW)
    assert given_ == NEW


def test_times_are_kept_as_moments() -> None:
    draft = a_draft(starts_at="2027-01-20T20:00:00+01:00")
    assert draft["starts_at"] == from_wire(NEW["starts_at"])


def test_reserved_type_has_the_capacity_of_the_seats_that_can_be_sold() -> None:
    reserved = domain.ticket_type(SEATED)
    assert (reserved["admission"], reserved["capacity"]) == ("reserved", 32)
    assert (reserved["blocked_seats"], reserved["accessible_seats"]) == (["B-1-1", "B-1-2"], [])
    assert domain.ticket_type(NEW["ticket_types"][0])["admission"] == "general"


def test_terms_carry_the_seating_and_say_nothing_of_admission() -> None:
    sold = domain.sales_terms(a_draft(ticket_types=[*NEW["ticket_types"], SEATED]))["ticket_types"]
    assert sold[0] == NEW["ticket_types"][0]
    assert sold[1] == {**SEATED, "capacity": 32, "accessible_seats": []}
