"""New terms: what it takes to sell a concert by other terms than before, when they take something away."""

import time

from booking_svc.contract import Refusal, SalesTerms
from booking_svc.cuts import Cuts, cuts_between
from booking_svc.domain import Version
from booking_svc.inventory import PATIENCE, Inventory
from booking_svc.offer import Offer
from booking_svc.stocktake import Stocktake
from booking_svc.terms import Terms
from booking_svc.withholding import Withholding


class NewTerms:
    """
    Puts terms in force. What they take away must be neither sold nor held.

    They are proposed in MongoDB first: from the next count on Redis gives out nothing beyond them, so that what is
    found to be left stays so until they are in force. A crash leaves them proposed; concert_svc sets them again.
    """

    def __init__(self, inventory: Inventory, stocktake: Stocktake, terms: Terms, withholding: Withholding) -> None:
        self._inventory = inventory
        self._stocktake = stocktake
        self._terms = terms
        self._withholding = withholding

    def set(self, terms: SalesTerms) -> SalesTerms | None:
        """
        Sell by *terms* from now on, unless newer ones are in force.

        Returns:
            what was in force before; None when nothing was ever sold for the concert.

        Raises:
            CapacityBelowSold, TicketsUnavailable: they take away what is sold or held; those in force stay.
            Unavailable, RedisError, PyMongoError: they may not be in force yet; set them again.
        """
        in_force = self._terms.in_force(terms["concert_id"])
        if in_force is not None and in_force[0]["version"] < terms["version"]:
            cuts = cuts_between(in_force[0], terms)
            if cuts.capacities or cuts.seats:
                self._take_away(cuts, Offer(in_force[0]), terms, in_force[1])
        self._inventory.set_terms(terms)
        return None if in_force is None else in_force[0]

    def _take_away(self, cuts: Cuts, offer: Offer, terms: SalesTerms, versions: list[Version]) -> None:
        concert_id = terms["concert_id"]
        seats = [
            (code, number)
            for code, names in cuts.seats.items()
            for name in names
            if (number := offer.plans[code].number_of(name)) is not None  # else it was never on sale
        ]
        self._terms.propose(terms)
        if cuts.capacities:
            self._count(concert_id)
        try:
            self._inventory.ask(
                concert_id,
                lambda _: self._withholding.withhold(
                    concert_id, terms["version"], cuts.capacities, seats, versions[0].set_at
                ),
            )
        except Refusal:
            self._terms.withdraw(terms)
            if cuts.capacities:
                self._count(concert_id)
            raise

    def _count(self, concert_id: str) -> None:
        self._stocktake.count(concert_id, time.monotonic() + PATIENCE, again=True)
