"""
What a concert sells, and in whose words: requests, units, claims. Pure.

A unit is a ticket type and a number: the 17th standing place, or a seat by its number in the seating plan. MongoDB
and the API call it by a claim or a seat, `unit:standing:17`, `unit:balcony:B-3-12`; the inventory by its number.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from booking_svc.contract import Item, SalesTerms, TicketTypeTerms, UnknownSeat, UnknownTicketType
from booking_svc.seating import SeatingPlan
from rabbitmq.times import from_wire


class Unit(NamedTuple):
    ticket_type: str
    number: int


class Taken(NamedTuple):
    """What a booking or a hold owns: units, and as many of its buyer's slots, numbered 1 to the limit a person has."""

    buyer: str
    slots: list[int]
    units: list[Unit]


class Wanted(NamedTuple):
    """Tickets of one type: these *seats* by number, and *quantity* that the inventory chooses."""

    ticket_type: str
    quantity: int
    seats: list[int]


class Offer:
    """The terms by which a concert sells, with what follows from them."""

    def __init__(self, terms: SalesTerms) -> None:
        self.terms = terms
        self.concert_id, self.version = terms["concert_id"], terms["version"]
        self.types: dict[str, TicketTypeTerms] = {t["code"]: t for t in terms["ticket_types"]}
        self.plans = {code: SeatingPlan(t["seating"]) for code, t in self.types.items() if t.get("seating")}

    @cached_property
    def rows(self) -> int:
        """How many rows of seats there are."""
        return sum(len(plan.rows) for plan in self.plans.values())

    @cached_property
    def closes(self) -> datetime:
        """The first moment at which nothing is sold any more."""
        return from_wire(self.terms["sales_close_at"])

    def wanted(self, items: Iterable[Item]) -> list[Wanted]:
        """
        What *items* ask of the inventory, one entry for each ticket type.

        Raises:
            UnknownTicketType, UnknownSeat: they ask for what the concert does not have.
        """
        asked: dict[str, Wanted] = {}
        for item in items:
            code = item["ticket_type"]
            if code not in self.types:
                raise UnknownTicketType(code)
            before = asked.get(code, Wanted(code, 0, []))
            seats = self._numbers(code, item.get("seats", []))
            asked[code] = Wanted(code, before.quantity + item.get("quantity", 0), [*before.seats, *seats])
        return list(asked.values())

    def _numbers(self, code: str, seats: Sequence[str]) -> list[int]:
        numbers = {seat: self.plans[code].number_of(seat) if code in self.plans else None for seat in seats}
        if unknown := [seat for seat, number in numbers.items() if number is None]:
            raise UnknownSeat(*unknown)
        return [number for seat in seats if (number := numbers[seat]) is not None]

    def name_of(self, code: str) -> str:
        """What the organiser calls the ticket type; one that is not offered any more goes by its code."""
        return self.types[code]["name"] if code in self.types else code

    def seat_of(self, unit: Unit) -> str | None:
        """The seat's name; None in general admission."""
        plan = self.plans.get(unit.ticket_type)
        return plan.name_of(unit.number) if plan else None

    def claims_of(self, taken: Taken) -> list[str]:
        """How MongoDB calls *taken*; no two confirmed bookings have a claim in common."""
        slots = [f"buyer:{taken.buyer}:{slot}" for slot in taken.slots]
        return slots + [f"unit:{unit.ticket_type}:{self.seat_of(unit) or unit.number}" for unit in taken.units]

    def taken_by(self, claims: Sequence[str]) -> Taken:
        """What `claims_of` made claims of. What is not offered any more is left out."""
        buyer, slots, units = "", [], []
        for claim in claims:
            kind, _, rest = claim.partition(":")
            if kind == "buyer":
                buyer, _, slot = rest.rpartition(":")
                slots.append(int(slot))
                continue
            code, _, name = rest.partition(":")
            if code not in self.types:
                continue
            number = self.plans[code].number_of(name) if code in self.plans else int(name) if name.isdigit() else None
            if number is not None:
                units.append(Unit(code, number))
        return Taken(buyer, slots, units)

    def blocked(self, code: str) -> list[int]:
        """The numbers of the type's seats that are never sold."""
        return self._known_numbers(code, self.types[code].get("blocked_seats", []))

    def accessible(self, code: str) -> list[int]:
        """The numbers of the type's seats that are given last, unless they are named."""
        return self._known_numbers(code, self.types[code].get("accessible_seats", []))

    def _known_numbers(self, code: str, seats: Sequence[str]) -> list[int]:
        plan = self.plans.get(code)
        return [number for seat in seats if plan and (number := plan.number_of(seat)) is not None]
