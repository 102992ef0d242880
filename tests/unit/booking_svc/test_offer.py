from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_svc.contract import UnknownSeat, UnknownTicketType
from booking_svc.offer import Offer, Taken, Unit, Wanted
from tests.unit.booking_svc.concerts import hall, items, seats, terms

OFFER = Offer(
    terms(
        "c",
        capacities={"standing": 100},
        seating={"balcony": hall("1", "2", "3", blocked_seats=["B-1-1"], accessible_seats=["B-3-6", "B-3-5"])},
    )
)

units = st.one_of(
    st.builds(Unit, st.just("standing"), st.integers(1, 10**6)), st.builds(Unit, st.just("balcony"), st.integers(1, 18))
)
buyers = st.from_regex(r"[0-9a-f]{1,24}", fullmatch=True)
taken = st.builds(
    Taken,
    buyers,
    st.lists(st.integers(1, 100), unique=True, min_size=1, max_size=8),
    st.lists(units, unique=True, max_size=8),
)


def test_wanted_tells_seats_by_number_and_sums_what_is_asked_of_a_type() -> None:
    asked = [*items(standing=2, balcony=1), *seats("balcony", "B-1-2", "B-2-1"), *items(standing=3)]
    assert OFFER.wanted(asked) == [Wanted("standing", 5, []), Wanted("balcony", 1, [2, 7])]


@pytest.mark.parametrize("asked", [items(backstage=1), seats("backstage", "B-1-1")])
def test_what_is_not_offered_cannot_be_wanted(asked: Any) -> None:
    with pytest.raises(UnknownTicketType) as unknown:
        OFFER.wanted(asked)
    assert unknown.value.args == ("backstage",)


@pytest.mark.parametrize("seat", ["B-1-7", "B-4-1", "A-1-1", "", "12", "B-1-0"])
def test_seat_that_is_not_there_cannot_be_wanted(seat: str) -> None:
    with pytest.raises(UnknownSeat) as unknown:
        OFFER.wanted(seats("balcony", seat))
    assert unknown.value.args == (seat,)


def test_general_admission_has_no_seats() -> None:
    with pytest.raises(UnknownSeat):
        OFFER.wanted(seats("standing", "1"))
    assert OFFER.seat_of(Unit("standing", 17)) is None


def test_claims_name_slots_and_units() -> None:
    ours = Taken("ada", [1, 3], [Unit("standing", 17), Unit("balcony", 8)])
    assert OFFER.claims_of(ours) == ["buyer:ada:1", "buyer:ada:3", "unit:standing:17", "unit:balcony:B-2-2"]


@given(taken)
def test_claims_mean_what_they_were_made_of(ours: Taken) -> None:
    assert OFFER.taken_by(OFFER.claims_of(ours)) == ours


@given(taken, taken)
def test_claims_are_common_just_where_units_or_slots_are(ours: Taken, theirs: Taken) -> None:
    common = set(OFFER.claims_of(ours)) & set(OFFER.claims_of(theirs))
    slots = set(ours.slots) & set(theirs.slots) if ours.buyer == theirs.buyer else set()
    assert len(common) == len(set(ours.units) & set(theirs.units)) + len(slots)


def test_claims_on_what_is_not_offered_any_more_are_left_out() -> None:
    claims = ["buyer:ada:1", "unit:backstage:1", "unit:balcony:Z-9-9", "unit:balcony:B-1-2"]
    assert OFFER.taken_by(claims) == Taken("ada", [1], [Unit("balcony", 2)])


def test_seats_of_a_kind_are_told_by_number() -> None:
    assert (OFFER.blocked("balcony"), OFFER.accessible("balcony")) == ([1], [18, 17])
    assert (OFFER.blocked("standing"), OFFER.accessible("standing")) == ([], [])
