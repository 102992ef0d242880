import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_svc.contract import SeatingBlock
from booking_svc.seating import SeatingPlan

names = st.from_regex(r"[A-Za-z0-9]{1,3}", fullmatch=True)
blocks = st.builds(
    SeatingBlock,
    section=names,
    rows=st.lists(names, min_size=1, max_size=5, unique=True),
    seats_per_row=st.integers(1, 12),
)
plans = st.lists(blocks, min_size=1, max_size=4, unique_by=lambda block: block["section"])


def test_seats_are_numbered_in_the_order_they_are_listed() -> None:
    plan = SeatingPlan(
        [
            {"section": "B", "rows": ["2", "1"], "seats_per_row": 3},
            {"section": "A", "rows": ["F"], "seats_per_row": 2},
        ]
    )
    named = [plan.name_of(number) for number in range(1, plan.size + 1)]
    assert named == ["B-2-1", "B-2-2", "B-2-3", "B-1-1", "B-1-2", "B-1-3", "A-F-1", "A-F-2"]


@given(plans)
def test_every_seat_has_one_name_and_one_number(seating: list[SeatingBlock]) -> None:
    plan = SeatingPlan(seating)
    named = {plan.name_of(number): number for number in range(1, plan.size + 1)}
    assert len(named) == plan.size
    assert all(plan.number_of(seat) == number for seat, number in named.items())


@given(plans, st.text(max_size=12))
def test_what_is_no_seat_has_no_number(seating: list[SeatingBlock], text: str) -> None:
    plan = SeatingPlan(seating)
    number = plan.number_of(text)
    assert number is None or plan.name_of(number) == text


@pytest.mark.parametrize(
    "seat", ["B-1-01", "B-1-+1", "B-1-1 ", "B-1-1_0", "B-1-٣", "B-1-" + "9" * 5000, "B-1", "1", "-1"]
)
def test_seat_has_no_other_spelling(seat: str) -> None:
    assert SeatingPlan([{"section": "B", "rows": ["1"], "seats_per_row": 20}]).number_of(seat) is None


def test_blocks_added_at_the_end_leave_the_numbers_as_they_are() -> None:
    first: SeatingBlock = {"section": "B", "rows": ["1", "2"], "seats_per_row": 5}
    more: SeatingBlock = {"section": "C", "rows": ["1"], "seats_per_row": 9}
    before, after = SeatingPlan([first]), SeatingPlan([first, more])
    assert all(after.number_of(before.name_of(number)) == number for number in range(1, before.size + 1))
