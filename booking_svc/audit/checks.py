"""
The invariants, each as a check of what was read. Pure.

A breach names what it is about, so that it can be told whether a second reading finds the same one: between two
readings of a running system bookings are made, and what one store already has the other may be told of in a moment.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from booking_svc import domain
from booking_svc.domain import BookingDocument, Version
from booking_svc.marks import mark_of
from booking_svc.offer import Offer, Taken, Unit
from rabbitmq.times import from_wire

#: Who holds the seats that are just being taken off sale.
NOBODY = ""
#: A booking that was under way when its terms were replaced has been written so long after.
STILL_WRITING = timedelta(seconds=10)

#: What is checked: a key, and the sentence that is printed.
INVARIANTS = {
    "sold_once": "No unit is sold twice",
    "limit": "Nobody has more tickets than the limit, sold and held",
    "capacity": "No more is sold and held than there is",
    "not_free": "What is sold or held is its owner's in Redis, so that nobody else is offered it",
    "not_lost": "What is taken in Redis is sold or held, so that none is lost",
    "terms": "Redis sells by the terms that are in force",
    "whole": "Bookings are whole: tickets, claims, total and history agree",
    "one_key": "A user's key has one booking",
    "in_time": "Nothing was confirmed at or after the close of its sales",
    "called_off": "No booking stands of a concert whose bookings were all cancelled",
    "codes": "No two tickets have the same code",
    "mail": "A booking's confirmation has one Message-ID, and there is none without a booking",
}


class Breach(NamedTuple):
    invariant: str
    concert_id: str
    what: str  #: the offending ids


@dataclass
class HoldInRedis:
    """A hold as Redis has it; *booking_id* is the booking that is being made of it."""

    mark: str
    taken: Taken
    expired: bool
    booking_id: str | None
    booking_mark: str | None
    is_listed: bool = True  #: to be looked at at the moment when it ends


@dataclass
class InRedis:
    """What Redis has of a concert."""

    owners: Mapping[Unit, str]  #: the owner's mark of each unit that has one
    bits: Mapping[str, set[int]]  #: ticket type -> unit numbers whose bit is set
    slots: Mapping[tuple[str, int], str]  #: (buyer, slot) -> mark
    holds: Sequence[HoldInRedis] = field(default_factory=list)
    terms: Mapping[str, Any] = field(default_factory=dict)  #: as `terms_told` has them


def concert(
    offer: Offer,
    bookings: Sequence[BookingDocument],
    redis: InRedis | None,
    versions: Sequence[Version] = (),
    called_off: bool = False,
    undecided: Offer | None = None,
) -> Iterator[Breach]:
    """
    Every breach in what was read of one concert.

    *redis* is None when Redis does not have it loaded; *versions* are all terms that it was ever sold by; *called_off*:
    all its bookings were cancelled; by *undecided* Redis may sell instead, while it is decided whether something is
    taken off sale.
    """
    concert_id = offer.concert_id
    confirmed = [b for b in bookings if b["status"] == "confirmed"]
    found = [
        *sold_once(confirmed),
        *whole(bookings),
        *one_key(bookings),
        *in_time(bookings, offer, versions),
        *(("called_off", f"booking {b['_id']}") for b in confirmed if called_off),
    ]
    sold = {mark_of(b["_id"]): (b["_id"], offer.taken_by(b["claims"])) for b in confirmed}
    held = kept(redis, {b["_id"] for b in confirmed}) if redis else []
    found += [*capacity(offer, sold, held), *limit(offer, sold, held, versions)]
    if redis:
        found += [*in_redis(offer, sold, held, redis), *in_force(offer, undecided, redis)]
    yield from (Breach(invariant, concert_id, what) for invariant, what in found)


Found = Iterator[tuple[str, str]]
#: Mark -> the booking's id and what it owns.
SoldTo = Mapping[str, tuple[str, Taken]]


def kept(redis: InRedis, confirmed: set[str]) -> list[HoldInRedis]:
    """The holds that still keep something: not what is sold by now, nor what has expired."""
    return [hold for hold in redis.holds if hold.booking_id not in confirmed and not hold.expired]


def sold_once(confirmed: Sequence[BookingDocument]) -> Found:
    owners: dict[str, list[str]] = defaultdict(list)
    for booking in confirmed:
        for claim in booking["claims"]:
            owners[claim].append(booking["_id"])
    for claim, ids in owners.items():
        if len(ids) > 1:
            yield "sold_once", f"{claim}: bookings {', '.join(sorted(ids))}"


def capacity(offer: Offer, sold: SoldTo, held: Sequence[HoldInRedis]) -> Found:
    owned = [taken for _, taken in sold.values()] + [hold.taken for hold in held]
    counted = Counter(unit.ticket_type for taken in owned for unit in taken.units)
    for code, number in counted.items():
        if code in offer.types and number > offer.types[code]["capacity"]:
            yield "capacity", f"{code}: more than {offer.types[code]['capacity']}"
    for code in offer.plans:
        blocked = set(offer.blocked(code))
        for booking_id, taken in sold.values():
            if any(unit.ticket_type == code and unit.number in blocked for unit in taken.units):
                yield "capacity", f"booking {booking_id} has a blocked seat of {code}"


def limit(offer: Offer, sold: SoldTo, held: Sequence[HoldInRedis], versions: Sequence[Version] = ()) -> Found:
    """Who bought before the limit was lowered keeps what they have."""
    highest = max([offer.terms["max_tickets_per_user"], *(version.max_tickets_per_user for version in versions)])
    owned = [taken for _, taken in sold.values()] + [hold.taken for hold in held]
    counted: Counter[str] = Counter()
    for taken in owned:
        counted[taken.buyer] += len(taken.slots)  # also of what is not offered any more
    del counted[NOBODY]
    for buyer, number in counted.items():
        if number > highest:
            yield "limit", f"user {buyer}"


def in_redis(offer: Offer, sold: SoldTo, held: Sequence[HoldInRedis], redis: InRedis) -> Found:
    """What is taken in Redis against what is sold and held, unit by unit and slot by slot."""
    marks = {hold.mark for hold in held}
    unit_owners: dict[Unit, str] = {}
    slot_owners: dict[tuple[str, int], str] = {}
    owned = [(mark, taken) for mark, (_, taken) in sold.items()]
    owned += [(hold.booking_mark or hold.mark, hold.taken) for hold in held]

    def name(mark: str) -> str:
        return f"booking {sold[mark][0]}" if mark in sold else f"hold {mark}" if mark in marks else f"mark {mark}"

    for mark, taken in owned:
        for unit in taken.units:
            if unit_owners.setdefault(unit, mark) != mark:
                yield "not_free", f"{_place(offer, unit)}: {name(unit_owners[unit])} and {name(mark)}"
        for slot in taken.slots:
            if slot_owners.setdefault((taken.buyer, slot), mark) != mark:
                yield "not_free", f"slot {slot} of user {taken.buyer}: of two owners"
    for unit, mark in unit_owners.items():
        if unit.ticket_type in offer.types and redis.owners.get(unit) != mark:
            yield "not_free", f"{name(mark)}: {_place(offer, unit)}"
    for (buyer, slot), mark in slot_owners.items():
        if redis.slots.get((buyer, slot)) != mark:
            yield "not_free", f"{name(mark)}: slot {slot} of user {buyer}"
    for hold in redis.holds:
        if not hold.is_listed:
            yield "not_lost", f"hold {hold.mark} is not looked at when it ends"
    expired = {unit for hold in redis.holds if hold.expired for unit in hold.taken.units}
    expired_slots = {(hold.taken.buyer, slot) for hold in redis.holds if hold.expired for slot in hold.taken.slots}
    for unit, mark in redis.owners.items():
        if unit not in unit_owners and unit not in expired:
            yield "not_lost", f"{_place(offer, unit)} of {name(mark)}"
    for (buyer, slot), mark in redis.slots.items():
        if (buyer, slot) not in slot_owners and (buyer, slot) not in expired_slots:
            yield "not_lost", f"slot {slot} of user {buyer}, of {name(mark)}"
    for code, bits in redis.bits.items():
        owned_numbers = {unit.number for unit in redis.owners if unit.ticket_type == code} | set(offer.blocked(code))
        for number in sorted(bits ^ owned_numbers):
            where = _place(offer, Unit(code, number))
            yield "not_lost" if number in bits else "not_free", f"{where}: its bit and its owner disagree"


def in_force(offer: Offer, undecided: Offer | None, redis: InRedis) -> Found:
    allowed = terms_told(undecided) if undecided else {}
    for name, value in terms_told(offer).items():
        if redis.terms.get(name) not in (value, allowed.get(name, value)):
            yield "terms", f"{name}: {redis.terms.get(name)} in Redis, {value} in MongoDB"


def terms_told(offer: Offer) -> dict[str, Any]:
    """What Redis is told of the terms, by the names that it has for it."""
    opens, closes = (offer.terms["sales_open_at"], offer.terms["sales_close_at"])
    return {
        "version": offer.version,
        "status": offer.terms["status"],
        "limit": offer.terms["max_tickets_per_user"],
        "opens": 0 if opens is None else _milliseconds(opens),
        "closes": _milliseconds(closes),
        **{f"type:{code}": (t["capacity"], t["price"]) for code, t in offer.types.items()},
    }


def _milliseconds(wire: str) -> int:
    return round(from_wire(wire).timestamp() * 1000)


def _place(offer: Offer, unit: Unit) -> str:
    """What people call the unit."""
    return f"{unit.ticket_type}:{offer.seat_of(unit) or unit.number}"


def whole(bookings: Sequence[BookingDocument]) -> Found:
    for booking in bookings:
        claims, tickets = booking["claims"], booking["tickets"]
        units = [claim.split(":", 2)[1:] for claim in claims if claim.startswith("unit:")]
        slots = [claim for claim in claims if claim.startswith(f"buyer:{booking['user_id']}:")]
        wrong = [
            problem
            for problem, is_so in {
                "a claim twice": len(set(claims)) < len(claims),
                "tickets and units differ": [t["ticket_type"] for t in tickets] != [code for code, _ in units],
                "seats and units differ": [t["seat"] or n for t, (_, n) in zip(tickets, units, strict=False)]
                != [n for _, n in units],
                "tickets and slots differ in number": len(slots) != len(tickets),
                "claims of somebody else": len(slots) + len(units) != len(claims),
                "tickets misnumbered": [t["number"] for t in tickets] != list(range(1, len(tickets) + 1)),
                "a wrong total": booking["total"]["amount"] != sum(t["price"]["amount"] for t in tickets),
                "a history that ends otherwise": [h["status"] for h in booking["history"]]
                != ["confirmed", "cancelled"][: 1 + (booking["status"] == "cancelled")],
                "no moment of its cancelling": (booking["cancelled_at"] is None) == (booking["status"] == "cancelled"),
            }.items()
            if is_so
        ]
        if wrong:
            yield "whole", f"booking {booking['_id']}: {', '.join(wrong)}"


def one_key(bookings: Sequence[BookingDocument]) -> Found:
    for booking in bookings:
        if booking["_id"] != domain.booking_id(booking["user_id"], booking["idempotency_key"]):
            yield "one_key", f"booking {booking['_id']} is not that of its user and key"


def in_time(bookings: Sequence[BookingDocument], offer: Offer, versions: Sequence[Version] = ()) -> Found:
    """By the terms that the booking was sold by; and those were not replaced long before."""
    closed = {**{v.version: v.sales_close_at for v in versions}, offer.version: offer.closes}
    for booking in bookings:
        closes, confirmed_at = booking["sales_close_at"], booking["confirmed_at"]
        for newer in versions:
            replaced = newer.version > booking["schedule_version"] and newer.set_at + STILL_WRITING < confirmed_at
            if replaced and confirmed_at >= newer.sales_close_at:
                yield "in_time", f"booking {booking['_id']}: confirmed {confirmed_at} by terms replaced {newer.set_at}"
        if booking["confirmed_at"] >= closes:
            yield "in_time", f"booking {booking['_id']}: confirmed {booking['confirmed_at']}, closed {closes}"
        elif closes != (said := closed.get(booking["schedule_version"], closes)):
            yield "in_time", f"booking {booking['_id']}: sold until {closes}, the terms say {said}"


def codes(tickets: Iterable[tuple[str, str]]) -> Iterator[Breach]:
    """*tickets* are (code, booking id) of every booking there is."""
    owners: dict[str, str] = {}
    for code, booking_id in tickets:
        if code in owners:
            yield Breach("codes", "", f"bookings {owners[code]} and {booking_id}")
        owners[code] = booking_id


def mails(entries: Iterable[Mapping[str, Any]], states: Mapping[str, str]) -> Iterator[Breach]:
    """*entries* are the mailer's confirmations, resent ones too, *states* what each booking says of its mail."""
    ids: dict[tuple[str, str], str] = {}
    sent: set[str] = set()
    for entry in entries:
        booking_id = entry["booking_id"]
        if booking_id not in states:
            yield Breach("mail", "", f"mail {entry['message_id']} of no booking")
        first = ids.setdefault((booking_id, entry["kind"]), entry["message_id"])
        if first != entry["message_id"]:
            yield Breach("mail", "", f"booking {booking_id} has mails {first} and {entry['message_id']}")
        if entry["state"] == "sent":
            sent.add(booking_id)
    for booking_id, state in states.items():
        if state == "sent" and booking_id not in sent:
            yield Breach("mail", "", f"booking {booking_id} says that its mail is sent, the mailer does not")
