"""
The inventory as a pure model: what Redis and its scripts promise, written down with dictionaries.

`holds_contract.py` checks the same of it and of the real one; the state machines compare the two step by step.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count, groupby
from typing import Any, TypeVar

from redis.exceptions import ConnectionError as RedisUnreachable

from booking_svc.contract import (
    Availability,
    ConcertCancelled,
    HoldExpired,
    IdempotencyKeyReused,
    LimitReached,
    NotOnSaleYet,
    RequestInProgress,
    SalesClosed,
    SoldOut,
    UnknownTicketType,
)
from booking_svc.counts import SETTLING, TRUSTED, Count, Sold
from booking_svc.domain import Hold, HoldKey
from booking_svc.holds import BUSY, LIFE, LONGEST, WRITING, HoldRequest, SeatStates
from booking_svc.marks import mark_of
from booking_svc.offer import Offer, Taken, Unit, Wanted
from booking_svc.scripts import CountDue, Doubt, InDoubt, NotLoaded, SeatsTaken
from rabbitmq.times import from_wire

T = TypeVar("T")
Owners = dict[Any, str]


@dataclass
class HeldTickets:
    owner: str
    request: HoldRequest
    taken: Taken
    prices: dict[str, Any]
    born: int
    expires: float
    booking: str | None = None
    busy_until: float = 0.0
    doubt_at: float = 0.0

    @property
    def ends(self) -> float:
        """When it expires, or when it is in doubt whether it is booked."""
        return self.doubt_at if self.booking else self.expires

    @property
    def owns_as(self) -> str:
        """Who its claims belong to: the booking that is being made of it, else itself."""
        return self.booking or self.owner

    def begin_booking(self, booking_id: str, now: float, life: int) -> None:
        self.booking, self.busy_until, self.doubt_at = booking_id, now + BUSY, now + life


@dataclass
class Concert:
    """`owners` says who has which unit and slot, held or sold."""

    offer: Offer
    owners: Owners
    holds: dict[str, HeldTickets] = field(default_factory=dict)
    trusted_until: float | None = None
    stale_from: float = 0.0
    settle_at: float | None = None
    changes: int = 0
    is_loaded: bool = True  #: by the Redis process that is running


@dataclass
class CountUnderWay:
    """The *journal* has what changes hands since it began."""

    token: str
    journal: list[Callable[[Concert], None]] = field(default_factory=list)


class ModelOfRedis:
    """What a Redis holds: concerts, and counts under way. *now* is in milliseconds."""

    def __init__(self, now: Callable[[], float] = lambda: time.time() * 1000) -> None:
        self.now = now
        self.unreachable = False
        self.concerts: dict[str, Concert] = {}
        self.counting: dict[str, CountUnderWay] = {}
        self.loads = 0

    def forget(self, concert_id: str) -> None:
        """What happens to a concert when Redis is emptied."""
        self.concerts.pop(concert_id, None)
        self.counting.pop(concert_id, None)

    def restart(self, concert_id: str) -> None:
        """Another Redis process takes over, with the data as they are."""
        self.counting.pop(concert_id, None)
        if concert_id in self.concerts:
            self.concerts[concert_id].is_loaded = False

    def loaded(self, concert_id: str) -> Concert | None:
        self.reach()
        concert = self.concerts.get(concert_id)
        return concert if concert is not None and concert.is_loaded else None

    def reach(self) -> None:
        if self.unreachable:
            raise RedisUnreachable("as the test asked")

    def look(self, concert_id: str) -> Concert:
        concert = self.loaded(concert_id)
        if concert is None:
            raise NotLoaded(concert_id)
        if concert.settle_at is not None and self.now() >= concert.settle_at and concert_id not in self.counting:
            raise CountDue(concert_id)
        expired = [hold for hold in concert.holds.values() if hold.ends <= self.now()]
        for hold in expired:
            if not hold.booking:
                self.end(concert, hold)
        if doubts := [hold for hold in expired if hold.booking]:
            raise in_doubt(doubts)
        return concert

    def note(self, concert_id: str, change: Callable[[Concert], None]) -> None:
        if concert_id in self.counting:
            self.counting[concert_id].journal.append(change)

    def pass_on(self, concert: Concert, taken: Taken, owner: str, to: str | None) -> None:
        pass_on(concert, taken, owner, to)
        self.note(concert.offer.concert_id, lambda loaded: pass_on(loaded, taken, owner, to))

    def end(self, concert: Concert, hold: HeldTickets) -> None:
        """What it still owns is free."""
        self.pass_on(concert, hold.taken, hold.owns_as, None)
        del concert.holds[hold.owner]

    def end_booked_hold(self, concert: Concert, booking_id: str, hold_mark: str | None) -> None:
        hold = concert.holds.get(hold_mark or booking_id)
        if hold is not None and hold.booking == booking_id:
            self.end(concert, hold)

    def sell(self, concert: Concert, booking_id: str, taken: Taken) -> None:
        """It becomes the booking's; a hold that had some of it, and is not being booked, is lost as a whole."""
        for owner in {concert.owners.get(claim) for claim in claims(taken)} - {booking_id, None}:
            hold = concert.holds.get(str(owner))
            if hold is not None and not hold.booking:
                self.end(concert, hold)
        take(concert, booking_id, taken)


def claims(taken: Taken) -> list[Any]:
    return [*taken.units, *((taken.buyer, slot) for slot in taken.slots)]


def take(concert: Concert, owner: str, taken: Taken) -> None:
    concert.owners.update(dict.fromkeys(claims(taken), owner))
    concert.changes += 1


def pass_on(concert: Concert, taken: Taken, owner: str, to: str | None) -> None:
    for claim in claims(taken):
        if concert.owners.get(claim) == owner:
            del concert.owners[claim]
            if to is not None:
                concert.owners[claim] = to
    concert.changes += 1


def is_whole(concert: Concert, hold: HeldTickets) -> bool:
    """Whether the hold still owns all that it took."""
    return all(concert.owners.get(claim) == hold.owns_as for claim in claims(hold.taken))


def keep(concert: Concert, hold: HeldTickets) -> bool:
    """The hold owns what it has; False: something of it is not offered, or somebody else's."""
    if not all(is_offered(concert, unit) for unit in hold.taken.units) or {
        concert.owners.get(claim) for claim in claims(hold.taken)
    } - {None, hold.owns_as}:
        return False
    take(concert, hold.owns_as, hold.taken)
    return True


def keep_or_lose(concert: Concert, hold: HeldTickets) -> None:
    if not keep(concert, hold):
        lose(concert, hold)


def lose(concert: Concert, hold: HeldTickets) -> None:
    """The hold is gone; of one that is being booked, what nobody else has stays its own."""
    here = concert.holds.get(hold.owner)
    if here is None or here.born != hold.born:
        return
    if here.booking:
        offered = [unit for unit in here.taken.units if is_offered(concert, unit)]
        free = [claim for claim in claims(here.taken._replace(units=offered)) if claim not in concert.owners]
        concert.owners.update(dict.fromkeys(free, here.owns_as))
    else:
        pass_on(concert, here.taken, here.owns_as, None)
        del concert.holds[hold.owner]


def is_offered(concert: Concert, unit: Unit) -> bool:
    plan = concert.offer.plans.get(unit.ticket_type)
    return unit.ticket_type in concert.offer.types and (plan is None or unit.number <= plan.size)


def in_doubt(holds: Sequence[HeldTickets]) -> InDoubt:
    return InDoubt(
        [
            Doubt(
                hold.owner,
                str(hold.booking),
                hold.taken,
                None if hold.owner == hold.booking else (hold.owner, hold.born),
            )
            for hold in holds
        ]
    )


class ModelOfHolds:
    """As `booking_svc.holds.Holds`."""

    def __init__(self, redis: ModelOfRedis) -> None:
        self.redis = redis

    def place(self, concert_id: str, nonce: str, request: HoldRequest, life: int = LIFE) -> Hold:
        concert = self._on_sale(concert_id)
        hold = concert.holds.get(mark_of(nonce))
        if hold is None:
            hold = self._take(concert, mark_of(nonce), request)
            hold.expires = min(hold.born + life, closes(concert))
            self._note_held(concert_id, hold)
        if hold.request.fingerprint != request.fingerprint:
            raise IdempotencyKeyReused
        return seen(concert, hold)

    def place_for_booking(
        self, concert_id: str, booking_id: str, request: HoldRequest, redelivered: bool = False, life: int = WRITING
    ) -> Hold:
        concert, now = self._on_sale(concert_id), self.redis.now()
        hold = concert.holds.get(booking_id)
        if hold is None:
            hold = self._take(concert, booking_id, request)
            hold.begin_booking(booking_id, now, life)
            self._note_held(concert_id, hold)
        elif hold.request.fingerprint != request.fingerprint:
            raise IdempotencyKeyReused
        elif now < hold.busy_until and not redelivered:
            raise RequestInProgress
        hold.begin_booking(booking_id, now, life)
        hold.expires = now + life
        return seen(concert, hold)

    def begin_booking(
        self, key: HoldKey, buyer: str, booking_id: str, redelivered: bool = False, life: int = WRITING
    ) -> Hold:
        concert, now = self._on_sale(key.concert_id), self.redis.now()
        hold = self._not_at_work(self._of_buyer(concert, key, buyer), booking_id)
        if hold.booking and now < hold.busy_until and not redelivered:
            raise RequestInProgress
        if not hold.booking:
            self.redis.pass_on(concert, hold.taken, hold.owner, booking_id)
        hold.begin_booking(booking_id, now, life)
        return seen(concert, hold)

    def find(self, key: HoldKey, buyer: str) -> Hold:
        concert = self.redis.look(key.concert_id)
        return seen(concert, self._of_buyer(concert, key, buyer))

    def extend(self, key: HoldKey, buyer: str, life: int = LIFE, longest: int = LONGEST) -> Hold:
        concert, now = self._on_sale(key.concert_id), self.redis.now()
        hold = self._not_at_work(self._of_buyer(concert, key, buyer))
        hold.expires = max(hold.expires, min(now + life, hold.born + longest, closes(concert)))
        return seen(concert, hold)

    def release_hold(self, key: HoldKey, buyer: str) -> None:
        concert = self.redis.look(key.concert_id)
        try:
            hold = self._of_buyer(concert, key, buyer)
        except HoldExpired:
            return
        self.redis.end(concert, self._not_at_work(hold))

    def settle(self, concert_id: str, booking_id: str, hold_mark: str) -> bool:
        concert = self.redis.loaded(concert_id)
        hold = concert and concert.holds.get(hold_mark)
        if concert is None or hold is None or hold.booking != booking_id or not is_whole(concert, hold):
            return False
        del concert.holds[hold.owner]
        concert.changes += 1
        self._note_sold(concert_id, booking_id, hold.taken)
        return True

    def release(self, concert_id: str, booking_id: str, taken: Taken, hold_mark: str | None = None) -> None:
        if concert := self.redis.loaded(concert_id):
            self.redis.pass_on(concert, taken, booking_id, None)
            self.redis.end_booked_hold(concert, booking_id, hold_mark)
        else:
            self.redis.note(concert_id, lambda loaded: pass_on(loaded, taken, booking_id, None))

    def mark_sold(self, concert_id: str, booking_id: str, taken: Taken, hold_mark: str | None = None) -> None:
        if concert := self.redis.loaded(concert_id):
            self.redis.end_booked_hold(concert, booking_id, hold_mark)
            self.redis.sell(concert, booking_id, taken)
        self._note_sold(concert_id, booking_id, taken)

    def abandon(self, concert_id: str, booking_id: str, hold_mark: str) -> None:
        concert = self.redis.loaded(concert_id)
        hold = concert and concert.holds.get(hold_mark)
        if concert is None or hold is None or hold.booking != booking_id or hold.busy_until > self.redis.now():
            return
        if hold.owner != hold.booking and self.redis.now() < hold.expires and is_whole(concert, hold):
            self.redis.pass_on(concert, hold.taken, booking_id, hold.owner)
            hold.booking = None
        else:
            self.redis.end(concert, hold)

    def _note_held(self, concert_id: str, hold: HeldTickets) -> None:
        then = replace(hold)
        self.redis.note(concert_id, lambda loaded: keep_or_lose(loaded, then))

    def _note_sold(self, concert_id: str, booking_id: str, taken: Taken) -> None:
        self.redis.note(concert_id, lambda loaded: self.redis.sell(loaded, booking_id, taken))

    def availability(self, concert_id: str) -> Availability:
        concert, now = self.redis.look(concert_id), self.redis.now()
        terms = concert.offer.terms
        return Availability(
            ticket_types=[
                {"code": code, "capacity": t["capacity"], "available": max(0, left(concert, code))}
                for code, t in sorted(concert.offer.types.items())
            ],
            sales={
                "open": terms["status"] == "on_sale" and opens(concert) <= now < closes(concert),
                "sales_open_at": terms["sales_open_at"],
                "sales_close_at": terms["sales_close_at"],
            },
        )

    def seats(self, concert_id: str, sizes: dict[str, int], known: str | None) -> SeatStates:
        concert = self.redis.look(concert_id)
        tag = f"{id(concert)}.{concert.changes}"
        if tag == known:
            return SeatStates(tag, concert.offer.version, None)

        def letter(code: str, number: int) -> str:
            owner = concert.owners.get(Unit(code, number))
            if owner is None and number in concert.offer.blocked(code):
                return "x"
            return "a" if owner is None else "h" if owner in concert.holds else "b"

        letters = {c: "".join(letter(c, n) for n in range(1, size + 1)) for c, size in sizes.items()}
        return SeatStates(tag, concert.offer.version, letters)

    def _on_sale(self, concert_id: str) -> Concert:
        concert, now = self.redis.look(concert_id), self.redis.now()
        if concert.offer.terms["status"] == "cancelled":
            raise ConcertCancelled
        if now >= closes(concert):
            raise SalesClosed
        if now < opens(concert):
            raise NotOnSaleYet
        return concert

    def _of_buyer(self, concert: Concert, key: HoldKey, buyer: str) -> HeldTickets:
        hold = concert.holds.get(mark_of(key.nonce))
        if hold is None or hold.born != key.born or hold.taken.buyer != buyer:
            raise HoldExpired
        return hold

    def _not_at_work(self, hold: HeldTickets, booking: str | None = None) -> HeldTickets:
        if hold.booking and hold.booking != booking:
            raise RequestInProgress if self.redis.now() < hold.busy_until else in_doubt([hold])
        return hold

    def _take(self, concert: Concert, owner: str, request: HoldRequest) -> HeldTickets:
        now, offer = int(self.redis.now()), concert.offer
        taken_seats: list[Unit] = []
        for code, quantity, seats in request.wanted:
            if code not in offer.types:
                raise UnknownTicketType(code)
            unfree = [n for i, n in enumerate(seats) if n in seats[:i] or not is_free(concert, Unit(code, n))]
            taken_seats += [Unit(code, number) for number in unfree]
            if not taken_seats and len(seats) + quantity > left(concert, code):
                raise self._refusal(concert, SoldOut(code))
        if taken_seats:
            raise self._refusal(concert, SeatsTaken(taken_seats))
        wanted = sum(w.quantity + len(w.seats) for w in request.wanted)
        limit = offer.terms["max_tickets_per_user"]
        has = sum(not isinstance(claim, Unit) and claim[0] == request.buyer for claim in concert.owners)
        if has + wanted > limit:
            raise self._refusal(concert, LimitReached(str(limit), str(has)))
        slots = [slot for slot in range(1, limit + 1) if (request.buyer, slot) not in concert.owners][:wanted]
        taken = Taken(request.buyer, slots, [])
        for want in request.wanted:
            for unit in chosen(concert, want):
                concert.owners[unit] = owner
                taken.units.append(unit)
        take(concert, owner, taken)
        prices = {want.ticket_type: offer.types[want.ticket_type]["price"] for want in request.wanted}
        hold = HeldTickets(owner, request, taken, prices, now, 0.0)
        concert.holds[owner] = hold
        return hold

    def _refusal(self, concert: Concert, refusal: Exception) -> Exception:
        now, trusted = self.redis.now(), concert.trusted_until
        counting = concert.offer.concert_id in self.redis.counting
        is_trusted = trusted is not None and (now < trusted or (counting and now < concert.stale_from))
        return refusal if is_trusted else CountDue()


class ModelOfCounts:
    """As `booking_svc.counts.Counts`."""

    def __init__(self, redis: ModelOfRedis) -> None:
        self.redis = redis
        self._tokens = count(1)

    def begin(self, concert_id: str) -> Count | None:
        self.redis.reach()
        if concert_id in self.redis.counting:
            return None
        token = str(next(self._tokens))
        self.redis.counting[concert_id] = CountUnderWay(token)
        return Count(concert_id, token, int(self.redis.now()))

    def alive(self, count: Count) -> AbstractContextManager[None]:
        return nullcontext()

    def is_running(self, concert_id: str) -> bool:
        self.redis.reach()
        return concert_id in self.redis.counting

    def end(self, count: Count) -> None:
        if self._is_on(count):
            del self.redis.counting[count.concert_id]

    def load(self, count: Count, offer: Offer, sold: Sold) -> bool:
        self.redis.reach()
        here = self.redis.concerts.get(count.concert_id)
        held = [replace(hold) for hold in here.holds.values()] if here else []
        whole = [hold for hold in held if here and (not here.is_loaded or is_whole(here, hold))]
        loaded = Concert(offer, {})
        for booking_id, booked in sold:
            take(loaded, booking_id, offer.taken_by(booked))
        if not self._is_on(count):
            return False
        self.redis.loads += 1
        now, before = self.redis.now(), self.redis.concerts.get(count.concert_id)
        loaded.holds = before.holds if before else {}
        under_way = self.redis.counting.pop(count.concert_id)
        for hold in [hold for hold in held if hold not in whole or not keep(loaded, hold)]:
            lose(loaded, hold)
        for change in under_way.journal:
            change(loaded)
        if before is None or not before.is_loaded:
            loaded.settle_at = now + SETTLING
        else:
            loaded.trusted_until, loaded.stale_from = now + TRUSTED, now + 2 * TRUSTED
            if before.settle_at is not None and before.settle_at > count.begun:
                loaded.settle_at = before.settle_at
        self.redis.concerts[count.concert_id] = loaded
        return True

    def _is_on(self, count: Count) -> bool:
        on = self.redis.counting.get(count.concert_id)
        return on is not None and on.token == count.token


def is_free(concert: Concert, unit: Unit) -> bool:
    return unit not in concert.owners and unit.number not in concert.offer.blocked(unit.ticket_type)


def left(concert: Concert, code: str) -> int:
    if plan := concert.offer.plans.get(code):
        return sum(is_free(concert, Unit(code, number)) for number in range(1, plan.size + 1))
    taken = sum(isinstance(claim, Unit) and claim.ticket_type == code for claim in concert.owners)
    return concert.offer.types[code]["capacity"] - taken


def chosen(concert: Concert, want: Wanted) -> list[Unit]:
    """The seats named, and the units that the inventory chooses: the lowest numbers, or the best seats."""
    code, quantity, seats = want
    named = [Unit(code, number) for number in seats]
    plan = concert.offer.plans.get(code)
    if plan is None:
        free = (n for n in count(1) if is_free(concert, Unit(code, n)))
        return [Unit(code, next(free)) for _ in range(quantity)]
    free_seats = [n for n in range(1, plan.size + 1) if is_free(concert, Unit(code, n)) and n not in seats]
    plain = [n for n in free_seats if n not in concert.offer.accessible(code)]
    best = best_adjacent(concert, code, plain, quantity)
    if not best and len(plain) < quantity:
        best = best_adjacent(concert, code, free_seats, quantity)
    best = best or [*plain, *(n for n in free_seats if n not in plain)][:quantity]
    return [*named, *(Unit(code, number) for number in best)] if quantity else named


def best_adjacent(concert: Concert, code: str, free: list[int], quantity: int) -> list[int]:
    for row in concert.offer.plans[code].rows:
        numbers = [n for n in free if row.first <= n < row.first + row.seats]
        runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
        places = [(run, i) for run in runs for i in range(len(run) - quantity + 1)]
        if places and quantity:
            middle = row.first + (row.seats - 1) / 2

            def rank(place: tuple[list[int], int]) -> tuple[int, float]:
                run, i = place
                singles = (i, len(run) - quantity - i).count(1)
                return singles, abs(run[i] + (quantity - 1) / 2 - middle)  # noqa: B023

            run, i = min(places, key=rank)
            return run[i : i + quantity]
    return []


def opens(concert: Concert) -> float:
    wire = concert.offer.terms["sales_open_at"]
    return 0.0 if wire is None else from_wire(wire).timestamp() * 1000


def closes(concert: Concert) -> float:
    return concert.offer.closes.timestamp() * 1000


def seen(concert: Concert, hold: HeldTickets) -> Hold:
    expires_at = datetime.fromtimestamp(hold.expires / 1000, UTC)
    return Hold(
        hold.owner, hold.born, concert.offer.version, hold.taken, list(hold.request.items), hold.prices, expires_at
    )
