"""What was sold beyond what there is, is seen."""

from typing import Any

import pytest

from booking_svc.offer import Offer
from booking_svc.overselling import Overselling

TERMS: Any = {
    "concert_id": "c1",
    "version": 1,
    "ticket_types": [{"code": "standing", "capacity": 3}, {"code": "lawn", "capacity": 1}],
}


@pytest.mark.parametrize(
    ("sold", "tickets"),
    [
        ([], 0),
        ([["unit:standing:1", "buyer:b:1"], ["unit:standing:2", "unit:lawn:1", "buyer:b:1", "buyer:b:2"]], 0),
        ([["unit:standing:1"], ["unit:standing:1"]], 1),
        ([["unit:standing:1", "unit:standing:2"], ["unit:standing:3", "unit:standing:4"]], 1),
        ([["unit:gone:1"], ["unit:lawn:7"]], 0),
    ],
)
def test_tickets_that_cannot_all_be_honoured_are_counted(sold: list[list[str]], tickets: int) -> None:
    overselling = Overselling(Offer(TERMS))
    bookings = [(f"b{number}", claims) for number, claims in enumerate(sold)]
    assert list(overselling.watch(bookings)) == bookings
    assert overselling.tickets() == tickets
