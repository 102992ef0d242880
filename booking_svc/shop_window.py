"""The shop window: which of many concerts have tickets left. It may lag, and decides nothing."""

import time
from collections.abc import Sequence

from booking_svc.contract import Availability, ConcertNotFound
from booking_svc.holds import Holds
from booking_svc.inventory import Inventory
from booking_svc.scripts import CountDue, InDoubt, NotLoaded

#: Seconds for all of them; what has not been looked at by then is taken for available.
PATIENCE = 1.5


class ShopWindow:
    """What is left, as Redis knows it in this moment: no concert is counted for somebody who only looks."""

    def __init__(self, holds: Holds, inventory: Inventory) -> None:
        self._holds = holds
        self._inventory = inventory

    def find_available(self, concert_ids: Sequence[str]) -> list[str]:
        """
        Those of the concerts that have tickets left, or may have.

        Raises:
            RedisError, PyMongoError, Unavailable
        """
        deadline = time.monotonic() + PATIENCE
        return [one for one in concert_ids if time.monotonic() >= deadline or self._may_have_tickets(one)]

    def _may_have_tickets(self, concert_id: str) -> bool:
        try:
            return _has_tickets(self._holds.availability(concert_id))
        except (NotLoaded, CountDue):
            return True
        except InDoubt:
            try:
                return _has_tickets(self._inventory.availability(concert_id))
            except ConcertNotFound:
                return False


def _has_tickets(availability: Availability) -> bool:
    return any(t["available"] for t in availability["ticket_types"])
