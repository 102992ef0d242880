"""
Everyone wants the same in the same moment, through two processes' stores.

Each race is run with its guard, and must find nothing, and without it, and must find something: the negative control
shows that the race could have seen it.
"""

import inspect
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from pymongo.database import Database
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import RedisError

from booking_svc import bookings, domain
from booking_svc.audit.reading import Audit
from booking_svc.bookings import Bookings
from booking_svc.contract import (
    AlreadyCancelled,
    HoldExpired,
    HoldNotFound,
    LimitReached,
    RequestInProgress,
    SalesClosed,
    SalesTerms,
    SoldOut,
    TicketsUnavailable,
)
from booking_svc.domain import BookingDocument
from rabbitmq.database import Document
from rabbitmq.errors import Unavailable
from rabbitmq.times import from_wire
from tests.harm import again_and_again
from tests.integration.booking_svc.crowd import all_at_once
from tests.integration.booking_svc.keys import copy, forget, roll_back
from tests.integration.booking_svc.process import Process
from tests.polling import poll
from tests.unit.booking_svc.concerts import hall, items, new_id, seats, terms

#: Seconds in which a request with the same key gets its answer, whatever breaks meanwhile.
ANSWERED = 60.0
UNITS, LIMIT = 5, 4
REFUSALS = (SoldOut, LimitReached, TicketsUnavailable, HoldExpired, HoldNotFound, AlreadyCancelled, SalesClosed)
#: Of a concert that closes while everybody buys: after it was opened, and how long they go on.
CLOSES_IN, GOING_ON = timedelta(seconds=1), timedelta(seconds=0.5)


class Size(NamedTuple):
    threads: int
    rounds: int


SHORT, LONG = Size(40, 3), Size(300, 200)


class Arena:
    """Two processes that sell a concert of its own."""

    def __init__(self, redis: Redis, mongo: Database[Document], size: Size) -> None:
        self.redis, self.mongo, self.size = redis, mongo, size
        self.patience = ANSWERED
        self.processes = [Process(redis, mongo) for _ in range(2)]
        self.open()

    def open(self, **on_sale: Any) -> None:
        self.concert_id = new_id()
        self.terms: SalesTerms = terms(
            self.concert_id, **{"capacities": {"standing": UNITS}, "limit": LIMIT, **on_sale}
        )
        self.processes[0].inventory.set_terms(self.terms)

    def close(self) -> None:
        forget(self.redis, self.concert_id)

    def process(self, number: int) -> Process:
        return self.processes[number % 2]

    def forget(self) -> None:
        forget(self.redis, self.concert_id)

    def insist(self, act: Callable[[], Any]) -> Any:
        """What *act* answers in the end; None for a refusal. A fault is answered with the same request again."""

        def answer() -> list[Any]:
            try:
                return [act()]
            except REFUSALS:
                return [None]
            except (Unavailable, RequestInProgress, RedisError, PyMongoError):
                return [] if self.patience else [None]

        # Not at once, nor all in the same moment: hundreds of threads of one process would keep each other waiting.
        return poll(answer, self.patience, every=random.uniform(0.1, 0.4))[0]

    def book(self, number: int, buyer: str, asked: Any = None, key: str | None = None) -> BookingDocument | None:
        key, asked = key or new_id(), asked or items(standing=1)
        office = self.process(number).box_office
        answer = self.insist(lambda: office.book(buyer, key, self.concert_id, asked))
        return answer and answer[0]

    def sold(self) -> list[str]:
        return [claim for _, claims in self.processes[0].bookings.sold(self.concert_id) for claim in claims]

    def breaches(self) -> list[str]:
        """What the audit says once everything is quiet."""
        audit = Audit(self.mongo, self.mongo, self.redis, pause=0.05)
        return [f"{breach.invariant}: {breach.what}" for breach in audit.concert(self.concert_id)]


#: A race returns what is wrong after one round of it.
Race = Callable[[Arena], list[str]]


def last_units(arena: Arena) -> list[str]:
    answers = all_at_once(arena.size.threads, lambda n: arena.book(n, new_id()))
    booked = {answer["_id"] for answer in answers if answer}
    sold = {owner for owner, _ in arena.processes[0].bookings.sold(arena.concert_id)}
    wrong = [] if booked == sold else ["who was told of a booking has none"]
    return wrong + ([] if len(booked) == UNITS else [f"{len(booked)} of {UNITS} sold"]) + arena.breaches()


def same_seat(arena: Arena) -> list[str]:
    arena.open(capacities={}, seating={"balcony": hall("1")})
    wanted = seats("balcony", "B-1-3", "B-1-4")
    answers = all_at_once(arena.size.threads, lambda n: arena.book(n, new_id(), wanted))
    booked = [answer for answer in answers if answer]
    return ([] if len(booked) == 1 else [f"sold {len(booked)} times"]) + arena.breaches()


def one_buyer(arena: Arena) -> list[str]:
    arena.open(capacities={"standing": 1000})

    def ask(number: int) -> bool:
        if number % 2:
            return arena.book(number, "ada") is not None
        office, key = arena.process(number).box_office, new_id()
        hold = arena.insist(lambda: office.hold("ada", key, arena.concert_id, items(standing=1)))
        booked = hold and arena.insist(lambda: office.book_hold("ada", key, hold["id"]))
        return booked is not None

    got = sum(all_at_once(arena.size.threads, ask))
    return ([] if got == LIMIT else [f"{got} tickets, the limit is {LIMIT}"]) + arena.breaches()


def same_key(arena: Arena) -> list[str]:
    key, buyer = new_id(), new_id()
    answers = all_at_once(arena.size.threads, lambda n: arena.book(n, buyer, key=key))
    told = {answer["reference"] for answer in answers if answer}
    return ([] if len(told) == len(arena.sold()) / 2 == 1 else [f"{len(told)} bookings told of"]) + arena.breaches()


def one_hold(arena: Arena) -> list[str]:
    """Booked by many keys, extended and released at once."""
    buyer = new_id()
    hold = arena.processes[0].box_office.hold(buyer, new_id(), arena.concert_id, items(standing=2))
    is_released_first = random.random() < 0.5  # a booking is looked for before: whoever releases is often faster

    def act(number: int) -> BookingDocument | None:
        office, key = arena.process(number).box_office, new_id()
        releases = number % 10 == 2 and number > arena.size.threads / 2
        if number % 10 == 1:
            arena.insist(lambda: office.extend_hold(buyer, hold["id"]))
        if releases and is_released_first:
            arena.insist(lambda: office.release_hold(buyer, hold["id"]))
        answer = arena.insist(lambda: office.book_hold(buyer, key, hold["id"]))
        if releases:
            arena.insist(lambda: office.release_hold(buyer, hold["id"]))
        return answer and answer[0]

    told = [answer for answer in all_at_once(arena.size.threads, act) if answer]
    return ([] if len(told) <= 1 else [f"booked {len(told)} times"]) + arena.breaches()


def hold_of_another(arena: Arena) -> list[str]:
    """Its buyer books it, and so does everybody who has seen its id."""
    buyer = new_id()
    hold = arena.processes[0].box_office.hold(buyer, new_id(), arena.concert_id, items(standing=2))

    def act(number: int) -> BookingDocument | None:
        office, user = arena.process(number).box_office, new_id() if number else buyer
        answer = arena.insist(lambda: office.book_hold(user, new_id(), hold["id"]))
        return answer and answer[0]

    told = [answer for answer in all_at_once(arena.size.threads, act) if answer]
    wrong = [f"booked by {booking['user_id']}" for booking in told if booking["user_id"] != buyer]
    return wrong + ([] if len(told) == 1 else [f"booked {len(told)} times"]) + arena.breaches()


def closing(arena: Arena) -> list[str]:
    """Everybody buys past the close of sales, and no event tells of it."""
    arena.open(capacities={"standing": 10_000}, limit=10_000, closes_in=CLOSES_IN)
    until = from_wire(arena.terms["sales_close_at"]) + GOING_ON

    def buy(number: int) -> None:
        while datetime.now(UTC) < until:
            arena.book(number, new_id())

    all_at_once(min(8, arena.size.threads), buy)
    return arena.breaches()


def one_cancel(arena: Arena) -> list[str]:
    buyer = new_id()
    booking = arena.book(0, buyer)
    assert booking
    answers = all_at_once(
        arena.size.threads,
        lambda n: arena.insist(lambda: arena.process(n).box_office.cancel(buyer, booking["_id"])),
    )
    told = sum(answer is not None for answer in answers)
    return ([] if told == 1 else [f"cancelled {told} times"]) + arena.breaches()


def change_of_mind(arena: Arena) -> list[str]:
    """Holds, bookings and cancels by turns, some are kept; each release comes again, as events may, even at the end."""
    cancelled: list[BookingDocument] = []

    def release_again(booking: BookingDocument) -> None:
        office = arena.process(0).box_office
        arena.insist(lambda: office.release(arena.concert_id, booking["_id"], booking["claims"], None))

    def act(number: int) -> None:
        office, buyer = arena.process(number).box_office, new_id()
        if number % 10 == 0:
            arena.book(number, buyer)
            return
        for turn in range(3):
            if turn == number % 3:
                hold = arena.insist(lambda: office.hold(buyer, new_id(), arena.concert_id, items(standing=1)))
                if hold:
                    arena.insist(lambda: office.release_hold(buyer, hold["id"]))  # noqa: B023
            elif booking := arena.book(number, buyer):
                arena.insist(lambda: office.cancel(buyer, booking["_id"]))
                cancelled.append(booking)
                release_again(booking)

    all_at_once(arena.size.threads, act)
    for booking in cancelled:
        release_again(booking)
    left = arena.processes[0].available(arena.concert_id)["standing"]
    kept = len(arena.sold()) / 2
    return ([] if left + kept == UNITS else [f"{left} of {UNITS} left, {kept} sold"]) + arena.breaches()


def counted_meanwhile(arena: Arena) -> list[str]:
    """Tickets are booked and cancelled while the concert is counted again and again."""
    arena.open(capacities={"standing": 1000})
    with again_and_again(lambda: arena.insist(lambda: arena.processes[1].inventory.set_terms(arena.terms)), every=0.02):
        all_at_once(arena.size.threads, lambda n: book_twice_cancel_once(arena, n))
    return arena.breaches()


def book_twice_cancel_once(arena: Arena, number: int) -> None:
    buyer = new_id()
    first, _ = arena.book(number, buyer), arena.book(number, buyer)
    if first:
        arena.insist(lambda: arena.process(number).box_office.cancel(buyer, first["_id"]))


# --- what is taken away in the negative controls


@contextmanager
def no_admission(arena: Arena) -> Iterator[None]:
    """Redis lets everybody have any unit, seat and slot."""
    with ExitStack() as changes:
        for text, other in (
            ("left_of(code, offered.bound) < #seats + quantity", "false"),
            ("or redis.call('GETBIT', taken_key(code), number) == 1", ""),
            ("redis.call('BITPOS', taken_key(code), 0)", "math.random(1, bounds[code])"),
            ("if not is_free(slot_in(stored_slots, slot)) then", "if false then"),
        ):
            changes.enter_context(changed_script(arena, text, other))
        yield


@contextmanager
def no_index(arena: Arena) -> Iterator[None]:
    """Nothing in MongoDB, which decides, nor in Redis, which admits, stands against selling twice."""
    arena.mongo["bookings"].drop_index("one_owner_per_claim")
    with no_admission(arena):
        yield


@contextmanager
def no_owner_check(arena: Arena) -> Iterator[None]:
    """Whoever releases a unit frees it, whosesoever it is."""
    with changed_script(arena, "if owner_of(unit[1], unit[2]) == from then", "if true then"):
        yield


@contextmanager
def no_journal(arena: Arena) -> Iterator[None]:
    with changed_script(arena, "if redis.call('EXISTS', COUNTING) == 1 then", "if false then"):
        yield


@contextmanager
def no_claim_on_a_hold(arena: Arena) -> Iterator[None]:
    """Any number of bookings may be made of one hold, at once, and MongoDB has no index."""
    arena.mongo["bookings"].drop_index("one_owner_per_claim")
    with (
        changed_script(arena, "if not hold.booking or hold.booking == booking then", "if true then"),
        changed_script(arena, "if hold.booking and now < hold.busy_until and", "if false and"),
    ):
        yield


@contextmanager
def no_owner_of_a_hold(arena: Arena) -> Iterator[None]:
    """Whoever knows a hold's id may book it."""
    with (
        changed_function(domain, "hold_id", "{key.concert_id}:{user_id}:", "{key.concert_id}:"),
        changed_script(arena, "and hold.buyer == buyer", ""),
    ):
        yield


@contextmanager
def no_clock(arena: Arena) -> Iterator[None]:
    """Sales are open until somebody says otherwise: neither Redis' clock nor the database's is asked."""
    with ExitStack() as changes:
        for text, other in (
            ("if now >= tonumber(terms[3]) then return { 'sales_closed' } end", ""),
            ("if redis.call('EXISTS', ON_SALE) == 0 then return { 'not_loaded' } end", ""),
        ):
            changes.enter_context(changed_script(arena, text, other))
        in_time = '{"$lt": ["$$NOW", draft["sales_close_at"]]}'
        changes.enter_context(changed_function(bookings, "confirmed", in_time, "True"))
        yield


@contextmanager
def no_identity(arena: Arena) -> Iterator[None]:
    """A booking's id is that of the thread that makes it."""

    def by_thread(user_id: str, key: str) -> str:
        return str(uuid.uuid5(domain.BOOKING_NAMESPACE, f"{user_id}:{key}:{threading.get_ident()}"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(domain, "booking_id", by_thread)
        yield


@contextmanager
def no_condition(arena: Arena) -> Iterator[None]:
    """A booking is read, found to be confirmed, and cancelled."""

    def cancel(self: Bookings, booking_id: str, _: datetime, event: Any, by: str) -> BookingDocument | None:
        found = self.find(booking_id)
        if found is None or found["status"] != "confirmed":
            return None
        change = {"status": "cancelled", "cancelled_at": datetime.now(UTC)}
        self._bookings.update_one({"_id": booking_id}, {"$set": change, "$push": {"outbox": event}})
        return self.find(booking_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bookings, "cancel", cancel)
        yield


@contextmanager
def changed_script(arena: Arena, text: str, other: str) -> Iterator[None]:
    """The processes' scripts with *other* in the place of *text*."""
    changed = 0
    for process in arena.processes:
        scripts = process.holds._scripts._scripts
        for name, script in scripts.items():
            if text in script.script:
                scripts[name] = arena.redis.register_script(script.script.replace(text, other))
                changed += 1
    assert changed, f"no script says {text}"
    yield


@contextmanager
def changed_function(module: Any, name: str, text: str, other: str) -> Iterator[None]:
    """The *module*'s function *name* with *other* in the place of *text*."""
    source = inspect.getsource(getattr(module, name))
    assert text in source, f"{name} does not say {text}"
    changed: dict[str, Any] = {}
    exec(source.replace(text, other), vars(module), changed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, changed[name])
        yield


RACES: list[tuple[Race, Callable[[Arena], Any]]] = [
    (last_units, no_index),
    (same_seat, no_index),
    (one_buyer, no_index),
    (same_key, no_identity),
    (one_hold, no_claim_on_a_hold),
    (hold_of_another, no_owner_of_a_hold),
    (closing, no_clock),
    (one_cancel, no_condition),
    (change_of_mind, no_owner_check),
    (counted_meanwhile, no_journal),
]
each_race = pytest.mark.parametrize(("race", "guard"), RACES, ids=[race.__name__ for race, _ in RACES])


@pytest.fixture
def arena_of(redis: Redis, new_database: Callable[[], Database[Document]]) -> Iterator[Callable[..., Arena]]:
    """Gives two processes on a database of their own, whose index a test may drop."""
    with ExitStack() as stack:

        def make(size: Size) -> Arena:
            arena = Arena(redis, new_database(), size)
            stack.callback(arena.close)
            return arena

        yield make


@each_race
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(SHORT, id="short"),
        pytest.param(LONG, id="long", marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_race_is_won_by_as_many_as_can(race: Race, guard: Any, size: Size, arena_of: Callable[..., Arena]) -> None:
    arena = arena_of(size)
    for _ in range(size.rounds):
        assert race(arena) == []
        arena.close()
        arena.open()


@each_race
def test_race_would_be_won_by_too_many_without_its_guard(
    race: Race, guard: Callable[[Arena], Any], arena_of: Callable[..., Arena]
) -> None:
    arena = arena_of(SHORT)
    with guard(arena):
        for _ in range(30):
            if race(arena):
                return
            arena.close()
            arena.open()
    pytest.fail("without its guard the race shows nothing")


@pytest.mark.parametrize("race", [last_units, same_seat, one_buyer], ids=lambda race: race.__name__)
def test_mongodb_alone_sells_nothing_twice_nor_past_the_limit(race: Race, arena_of: Callable[..., Arena]) -> None:
    arena = arena_of(SHORT)
    arena.patience = 0  # who meets others twenty times in a row goes away with a 503
    with no_admission(arena):
        found = race(arena)
    assert not [wrong for wrong in found if wrong.startswith(("sold_once", "capacity", "limit", "whole", "sold "))]
    assert len(set(arena.sold())) == len(arena.sold()) > 0


def test_emptying_redis_in_the_middle_sells_no_unit_twice_and_loses_none(arena_of: Callable[..., Arena]) -> None:
    arena = arena_of(SHORT)
    arena.open(capacities={"standing": 200}, limit=10)

    def buy(number: int) -> list[BookingDocument | None]:
        buyer = new_id()
        return [arena.book(number, buyer) for _ in range(8)]

    with again_and_again(arena.forget, every=0.02, at_most=40) as times:
        answers = [answer for answers in all_at_once(SHORT.threads, buy) for answer in answers]
    assert times() >= 5, "Redis was emptied too seldom to show anything"
    assert len([answer for answer in answers if answer]) == 200  # 320 asked, and no false sold-out
    arena.processes[0].available(arena.concert_id)
    assert arena.breaches() == []


def test_rolling_redis_back_in_the_middle_sells_no_unit_twice_and_loses_none(arena_of: Callable[..., Arena]) -> None:
    arena = arena_of(SHORT)
    arena.open(capacities={"standing": 200}, limit=10)
    kept = copy(arena.redis, arena.concert_id)

    def roll_back_or_keep() -> None:
        nonlocal kept
        if random.random() < 0.5:
            kept = copy(arena.redis, arena.concert_id)
        else:
            roll_back(arena.redis, arena.concert_id, kept)

    def buy(number: int) -> list[BookingDocument | None]:
        buyer = new_id()
        return [arena.book(number, buyer) for _ in range(8)]

    with again_and_again(roll_back_or_keep, every=0.01, at_most=40) as times:
        answers = [answer for answers in all_at_once(SHORT.threads, buy) for answer in answers]
    assert times() >= 5
    booked = [answer for answer in answers if answer]
    assert len({answer["_id"] for answer in booked}) == len(booked) == len(arena.sold()) / 2
    arena.insist(lambda: arena.processes[0].inventory.set_terms(arena.terms))

    def is_sound() -> bool:
        """Once nothing is in doubt any more of what was being booked in an old copy."""
        arena.processes[0].available(arena.concert_id)
        return arena.breaches() == []

    poll(is_sound, seconds=30, every=0.5)
    while arena.book(0, str(uuid4())):  # what is left, is left for somebody
        booked.append({})
    assert len(booked) == 200
