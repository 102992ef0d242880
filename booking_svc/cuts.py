"""Cuts: what new terms take away of what was on sale. Pure. Units that are sold keep their numbers."""

from typing import NamedTuple

from booking_svc.contract import SalesTerms, TicketTypeTerms


class Cuts(NamedTuple):
    capacities: dict[str, int]  #: ticket type of general admission -> what it is lowered to
    seats: dict[str, list[str]]  #: reserved ticket type -> seats that are not sold any more


def cuts_between(before: SalesTerms, after: SalesTerms) -> Cuts:
    """What is on sale by *before* and not by *after*."""
    old = {t["code"]: t for t in before["ticket_types"]}
    kept = [(old[t["code"]], t) for t in after["ticket_types"] if t["code"] in old]
    capacities = {t["code"]: t["capacity"] for was, t in kept if _is_lowered(was, t)}
    seats = {t["code"]: newly_blocked for was, t in kept if (newly_blocked := _newly_blocked(was, t))}
    return Cuts(capacities, seats)


def capped(terms: SalesTerms, proposed: SalesTerms) -> SalesTerms:
    """*terms* with no more capacity than *proposed*."""
    lowered = cuts_between(terms, proposed).capacities
    types = [{**t, "capacity": lowered.get(t["code"], t["capacity"])} for t in terms["ticket_types"]]
    return {**terms, "ticket_types": types}  # type: ignore[typeddict-item]


def _is_lowered(was: TicketTypeTerms, now: TicketTypeTerms) -> bool:
    return "seating" not in now and now["capacity"] < was["capacity"]


def _newly_blocked(was: TicketTypeTerms, now: TicketTypeTerms) -> list[str]:
    before = set(was.get("blocked_seats", []))
    return [seat for seat in now.get("blocked_seats", []) if seat not in before]
