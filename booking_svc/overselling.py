"""Whether more was sold than there is: looked at whenever a concert's bookings are counted, as it sells out."""

from collections import Counter
from collections.abc import Iterable, Iterator

from booking_svc.offer import Offer


class Overselling:
    """Watches bookings go by."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._units: set[str] = set()
        self._twice = 0
        self._sold: Counter[str] = Counter()

    def watch(self, sold: Iterable[tuple[str, list[str]]]) -> Iterator[tuple[str, list[str]]]:
        """*sold*, confirmed bookings and their claims, as they come."""
        for booking_id, claims in sold:
            for claim in claims:
                kind, _, unit = claim.partition(":")
                if kind == "unit":
                    self._twice += unit in self._units
                    self._units.add(unit)
                    self._sold[unit.partition(":")[0]] += 1
            yield booking_id, claims

    def tickets(self) -> int:
        """How many of the tickets that went by cannot all be honoured."""
        capacities = {code: ticket_type["capacity"] for code, ticket_type in self._offer.types.items()}
        beyond = sum(max(0, number - capacities.get(code, number)) for code, number in self._sold.items())
        return max(self._twice, beyond)
