"""
The seats of a reserved ticket type: names for people, numbers for the inventory. Pure.

Seats are numbered 1, 2, ... in the order in which the organiser lists them, the best first.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from booking_svc.contract import SeatingBlock


class Row(NamedTuple):
    name: str  #: `section-row`
    first: int  #: the number of its first seat
    seats: int


class SeatingPlan:
    """Which seat has which number."""

    def __init__(self, seating: Sequence[SeatingBlock]) -> None:
        self.rows: list[Row] = []
        first = 1
        for block in seating:
            for row in block["rows"]:
                self.rows.append(Row(f"{block['section']}-{row}", first, block["seats_per_row"]))
                first += block["seats_per_row"]
        self.size = first - 1
        self._firsts = [row.first for row in self.rows]
        self._by_name = {row.name: row for row in self.rows}

    def number_of(self, seat: str) -> int | None:
        """`B-3-12` -> its number; None when there is no such seat, and for any other spelling of one, `B-3-012`."""
        name, _, position = seat.rpartition("-")
        row = self._by_name.get(name)
        if row is None or not (position.isascii() and position.isdigit()) or position.startswith("0"):
            return None
        return row.first + int(position) - 1 if len(position) < 10 and int(position) <= row.seats else None

    def name_of(self, number: int) -> str:
        """The seat that has *number*, 1 to `size`."""
        row = self.rows[bisect_right(self._firsts, number) - 1]
        return f"{row.name}-{number - row.first + 1}"
