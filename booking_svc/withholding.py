"""Withholding: what new terms take away is kept from being sold until they are in force."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from booking_svc.counts import SETTLING
from booking_svc.marks import mark_of
from booking_svc.scripts import Scripts
from rabbitmq.errors import Unavailable

# All in milliseconds.
#: Seats are kept so long, unless the terms are in force before.
LIFE = 60_000
#: So long after it was first put on sale a concert may have been loaded for the first time, and not after a loss.
FIRST_LOAD = 2_000


class Withholding:
    """What is withheld in one Redis. It may raise what `Scripts.run` raises."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def withhold(
        self,
        concert_id: str,
        version: int,
        capacities: Mapping[str, int],
        seats: Sequence[tuple[str, int]],
        first_set_at: datetime,
    ) -> None:
        """
        Make sure that no more is taken than *capacities*, which nothing is sold beyond any more; and keep *seats*.

        Raises:
            CapacityBelowSold, SeatsTaken: nothing was changed.
            Unavailable: nobody can tell; Redis was lost a moment ago.
        """
        asked = {
            "mark": mark_of(f"terms:{version}"),
            "capacities": capacities,
            "seats": seats,
            "first_settled": round(first_set_at.timestamp() * 1000) + FIRST_LOAD + SETTLING,
            "life": LIFE,
        }
        if self._scripts.run("withhold", concert_id, json.dumps(asked))[0] == b"unsettled":
            raise Unavailable("booking_svc")
