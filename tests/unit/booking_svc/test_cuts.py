"""What new terms take away."""

from booking_svc.cuts import capped, cuts_between
from tests.unit.booking_svc.concerts import hall, terms

HALL = hall("1", "2", blocked_seats=["B-1-6"])


def test_lowered_capacity_is_a_cut_and_a_raised_one_is_none() -> None:
    before = terms("c", capacities={"standing": 5, "balcony": 5})
    after = terms("c", version=2, capacities={"standing": 4, "balcony": 6, "new": 1})
    assert cuts_between(before, after) == ({"standing": 4}, {})


def test_newly_blocked_seats_are_cut_by_name_and_their_number_is_no_capacity() -> None:
    before = terms("c", capacities={}, seating={"stalls": HALL})
    after = terms("c", version=2, capacities={}, seating={"stalls": hall("1", "2", blocked_seats=["B-2-1", "B-2-2"])})
    assert cuts_between(before, after) == ({}, {"stalls": ["B-2-1", "B-2-2"]})
    assert cuts_between(after, before) == ({}, {"stalls": ["B-1-6"]})


def test_other_changes_take_nothing_away() -> None:
    before = terms("c", limit=5, seating={"stalls": HALL})
    assert cuts_between(before, terms("c", version=2, limit=1, title="X", seating={"stalls": HALL})) == ({}, {})


def test_while_a_cut_is_proposed_there_is_no_more_than_both_have() -> None:
    before = terms("c", capacities={"standing": 5, "balcony": 5}, title="Before")
    after = terms("c", version=2, capacities={"standing": 4, "balcony": 6}, title="After")
    meanwhile = capped(before, after)
    assert {t["code"]: t["capacity"] for t in meanwhile["ticket_types"]} == {"standing": 4, "balcony": 5}
    assert (meanwhile["version"], meanwhile["concert"]["title"]) == (1, "Before")
