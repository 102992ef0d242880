"""
Real Redis and MongoDB against the pure model, step by step, and both answer the same: whatever buyers do, in whatever
order, with a process killed or another buyer served before any step, with Redis emptied or rolled back.
"""

import copy
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pymongo.database import Database
from redis import Redis

from booking_svc import domain
from booking_svc.contract import REFUSE_HOLD, Item, Refusal, SalesTerms
from booking_svc.scripts import CountDue, NotLoaded, concert_key
from rabbitmq.database import Document
from rabbitmq.errors import Unavailable
from tests.integration.booking_svc import keys
from tests.integration.booking_svc.process import Process
from tests.local_stack import LocalStack
from tests.unit.booking_svc.concerts import hall, items, new_id, seats, terms
from tests.unit.booking_svc.interruptions import Killed, before, die_before, undo
from tests.unit.booking_svc.theatre import Theatre

LIMIT = 4
STANDING = 5
SEATS = 5
SEATING = {"stalls": hall("1", "2", seats_per_row=3, blocked_seats=["B-2-3"], accessible_seats=["B-2-1"])}

#: Every step at which a use case may end or be interrupted.
STEPS = [
    *(("holds", method) for method in ("place", "place_for_booking", "begin_booking", "settle", "release")),
    *(("holds", method) for method in ("mark_sold", "abandon", "extend", "release_hold", "availability")),
    *(("bookings", method) for method in ("find", "confirm", "cancel")),
    ("scanned", "sold"),
    *(("counts", method) for method in ("begin", "load")),
]

users, user_keys = st.sampled_from(["ada", "bob", "cy"]), st.sampled_from(["k1", "k2", "k3"])
wanted = st.sampled_from(
    [
        items(standing=1),
        items(standing=2),
        items(stalls=2),
        [*items(standing=1), *items(stalls=1)],
        seats("stalls", "B-1-2"),
        seats("stalls", "B-1-1", "B-2-1"),
        [*seats("stalls", "B-2-2"), *items(stalls=1)],
    ]
)


class Act(NamedTuple):
    """Something a buyer does; *target* counts holds or bookings made so far."""

    what: str
    user: str
    key: str
    asked: Sequence[Item] = ()
    target: int = 0
    redelivered: bool = False


no_items = st.just(())
acts = st.one_of(
    st.builds(Act, st.just("book"), users, user_keys, wanted, st.just(0), st.booleans()),
    st.builds(Act, st.just("hold"), users, user_keys, wanted, st.just(0), st.just(False)),
    st.builds(Act, st.just("book_hold"), users, user_keys, no_items, st.integers(0, 5), st.booleans()),
    st.builds(
        Act,
        st.sampled_from(["extend", "release", "cancel", "hear", "look"]),
        users,
        user_keys,
        no_items,
        st.integers(0, 5),
    ),
)


class World:
    """The real stores, or the model; *stores* has holds, counts, bookings, inventory and box_office."""

    def __init__(self, stores: Any, concert_id: str) -> None:
        self.stores, self.concert_id = stores, concert_id
        self.holds: list[str] = []

    def do(self, act: Act) -> Any:
        """What the buyer is answered, without what differs between any two worlds."""
        try:
            return self._do(act._replace(user=self.user(act.user)))
        except (Refusal, Unavailable) as refusal:  # who waits for a count that waits for him goes away in the end
            return type(refusal).__name__
        except Killed:
            return "killed"

    def _do(self, act: Act) -> Any:
        office = self.stores.box_office
        match act.what:
            case "book":
                return told(office.book(act.user, act.key, self.concert_id, act.asked, redelivered=act.redelivered))
            case "hold":
                hold = office.hold(act.user, act.key, self.concert_id, act.asked)
                if hold["id"] not in self.holds:
                    self.holds.append(hold["id"])
                return hold
            case "cancel":
                return office.cancel(act.user, domain.booking_id(act.user, act.key))["status"]
            case "look":
                return in_stock(self.stores.inventory.availability(self.concert_id))
            case "hear":  # the event of a cancel, perhaps for the second time
                cancelled = self.stores.bookings.find(domain.booking_id(act.user, act.key))
                if cancelled and cancelled["status"] == "cancelled":
                    office.release(self.concert_id, cancelled["_id"], cancelled["claims"], cancelled["hold_id"])
                return None
        hold_id = self.holds[act.target % len(self.holds)] if self.holds else "none"
        match act.what:
            case "book_hold":
                return told(office.book_hold(act.user, act.key, hold_id, redelivered=act.redelivered))
            case "extend":
                return office.extend_hold(act.user, hold_id)
            case "release":
                return office.release_hold(act.user, hold_id)
        raise AssertionError(act)

    def user(self, name: str) -> str:
        """The bookings of another run's Ada are not this one's."""
        return f"{name}-{self.concert_id}"

    def interrupted(self, act: Act, step: tuple[str, str], meanwhile: Act | None) -> Any:
        """The act, with the process killed before the step, or with another act carried out before it."""
        store, method = getattr(self.stores, step[0]), step[1]
        happened: list[Any] = []
        if meanwhile is None:
            die_before(store, method)
        else:
            happened = before(store, method, lambda: self.do(meanwhile))
        try:
            return self.do(act), happened
        finally:
            undo(store, method)

    def available(self) -> dict[str, int]:
        return in_stock(insist(lambda: self.stores.inventory.availability(self.concert_id)))

    def states(self) -> Any:
        types = insist(lambda: self.stores.inventory.seats(self.concert_id, None))["ticket_types"]
        return [t["states"] for t in types]

    def sold(self) -> dict[str, list[str]]:
        return dict(self.stores.bookings.sold(self.concert_id))


def in_stock(availability: Any) -> dict[str, int]:
    return {t["code"]: t["available"] for t in availability["ticket_types"]}


def insist(look: Callable[[], Any]) -> Any:
    """Who only looks waits for a count as long as it takes on a busy machine."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return look()
        except Unavailable:
            if time.monotonic() > deadline:
                raise


def told(booked: Any) -> Any:
    """Of an answer to a booking: the tickets, what they cost, and whether it was there before."""
    booking, replayed = booked
    return booking["claims"], booking["total"], booking["items"], booking["status"], replayed


class InventoryMachine(RuleBasedStateMachine):
    """One clock for both worlds; it stands still but for `time_passes`."""

    servers: tuple[Redis, Database[Document]]

    @initialize()
    def open(self) -> None:
        self.concert_id, self.version, self.redis = new_id(), 0, self.servers[0]
        self.clock = int(time.time() * 1000)
        self.set_clock()
        process = Process(*self.servers)
        by_our_clock(process)
        self.scripts = process.holds._scripts
        self.theatre = Theatre(concert_id=self.concert_id, now=lambda: self.clock)
        self.theatre.forget()
        self.worlds = [World(process, self.concert_id), World(self.theatre, self.concert_id)]
        self.set_terms()
        self.kept = self.keep()

    def teardown(self) -> None:
        """In the end, counted once more: confirmed + held + available = capacity, unit by unit."""
        if hasattr(self, "kept"):
            self.set_terms()
            self.both(World.available)
            model = self.theatre.redis.concerts[self.concert_id]
            sold = {claim for claims in self.worlds[0].sold().values() for claim in claims if "unit:" in claim}
            held = {claim for hold in model.holds.values() for claim in model.offer.claims_of(hold.taken)}
            taken = sold | {claim for claim in held if "unit:" in claim}
            assert len(taken) + sum(self.worlds[0].available().values()) == STANDING + SEATS
        keys.forget(self.redis, self.concert_id)
        self.redis.delete(CLOCK + concert_key(self.concert_id))

    def both(self, do: Callable[[World], Any]) -> Any:
        real, modelled = (do(world) for world in self.worlds)
        assert real == modelled, f"real: {real}\nmodel: {modelled}"
        return real

    @rule(act=acts)
    def act(self, act: Act) -> None:
        answer = self.both(lambda world: world.do(act))
        if act.what == "hold" and answer == "SoldOut" and len(act.asked) == 1:
            assert self.looked_up(act.asked) == "SoldOut"

    @rule(act=acts, step=st.sampled_from(STEPS))
    def act_and_be_killed(self, act: Act, step: tuple[str, str]) -> None:
        self.both(lambda world: world.interrupted(act, step, None))
        self.end_counts()

    @rule(act=acts, step=st.sampled_from(STEPS), meanwhile=acts)
    def act_while_another_does(self, act: Act, step: tuple[str, str], meanwhile: Act) -> None:
        self.both(lambda world: world.interrupted(act, step, meanwhile))

    @rule(act=acts, step=st.sampled_from(STEPS))
    def act_while_redis_is_emptied(self, act: Act, step: tuple[str, str]) -> None:
        for world, forget in zip(self.worlds, (self.forget_real, self.theatre.forget), strict=True):
            before(getattr(world.stores, step[0]), step[1], forget)
        self.both(lambda world: world.do(act))
        for world in self.worlds:
            undo(getattr(world.stores, step[0]), step[1])

    @rule(seconds=st.sampled_from([2, 8, 12, 50, 601]))
    def time_passes(self, seconds: int) -> None:
        self.clock += seconds * 1000
        self.set_clock()

    @rule()
    def empty_redis(self) -> None:
        self.forget_real()
        self.theatre.forget()

    @rule()
    def keep_a_copy_of_redis(self) -> None:
        self.kept = self.keep()

    @rule(restarted=st.booleans())
    def roll_redis_back(self, restarted: bool) -> None:
        """To an old copy; that of another process can be told, that of the same is found out as it is asked."""
        real, modelled = self.kept
        keys.roll_back(self.redis, self.concert_id, real)
        self.theatre.redis.concerts = copy.deepcopy(modelled)
        self.theatre.redis.counting.clear()
        if restarted:
            self.restart_redis()

    @rule()
    def restart_redis(self) -> None:
        if self.redis.exists(terms_key := concert_key(self.concert_id, "terms")):
            self.redis.hset(terms_key, "run", "another")
        self.redis.delete(concert_key(self.concert_id, "counting"))
        self.theatre.redis.restart(self.concert_id)

    @rule()
    def set_terms(self) -> None:
        self.version += 1
        on_sale = self.on_sale(self.version)
        self.both(lambda world: world.stores.inventory.set_terms(on_sale))

    @invariant()
    def both_know_the_same(self) -> None:
        self.both(World.sold)
        self.both(World.available)
        self.both(World.states)

    @invariant()
    def what_is_refused_by_looking_is_refused_by_asking(self) -> None:
        for asked in (items(standing=1), items(standing=3), items(stalls=2)):
            if refused := self.looked_up(asked):
                assert refused == self.worlds[0].do(Act("hold", "dan", new_id(), asked))

    def looked_up(self, asked: Sequence[Item]) -> str | None:
        """What the gateway would refuse a hold with, as it looks into Redis by itself."""
        [item] = asked
        try:
            self.scripts.run(REFUSE_HOLD, self.concert_id, item["ticket_type"], item["quantity"])
        except Refusal as refusal:
            return type(refusal).__name__
        except (NotLoaded, CountDue):
            return None
        return None

    @invariant()
    def nothing_is_sold_twice_nor_past_the_limit(self) -> None:
        claims = [claim for claims in self.worlds[0].sold().values() for claim in claims]
        assert len(set(claims)) == len(claims)
        for user in ("ada", "bob", "cy"):
            assert sum(claim.startswith(f"buyer:{self.worlds[0].user(user)}:") for claim in claims) <= LIMIT

    def on_sale(self, version: int) -> SalesTerms:
        day = timedelta(days=30)  # far enough for all the time that passes
        return terms(
            self.concert_id, version=version, capacities={"standing": STANDING}, limit=LIMIT, seating=SEATING,
            closes_in=day,
        )  # fmt: skip

    def keep(self) -> tuple[keys.Copy, Any]:
        return keys.copy(self.redis, self.concert_id), copy.deepcopy(self.theatre.redis.concerts)

    def set_clock(self) -> None:
        self.redis.set(CLOCK + concert_key(self.concert_id), self.clock)

    def forget_real(self) -> None:
        keys.forget(self.redis, self.concert_id)

    def end_counts(self) -> None:
        """A counter that was killed is taken for dead."""
        self.redis.delete(concert_key(self.concert_id, "counting"))
        self.theatre.redis.counting.clear()


#: Prefix of the key that the scripts of `by_our_clock` read the time from, in milliseconds.
CLOCK = "clock:"
REDIS_CLOCK = """local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)"""


def by_our_clock(process: Process) -> None:
    """Its scripts read the time from a key instead of from Redis."""
    scripts = process.holds._scripts._scripts
    for name, script in scripts.items():
        assert REDIS_CLOCK in script.script
        ours = script.script.replace(REDIS_CLOCK, f"return tonumber(redis.call('GET', '{CLOCK}' .. tag))")
        scripts[name] = process.redis.register_script(ours)


@pytest.mark.parametrize(
    "examples",
    [pytest.param(60, id="short"), pytest.param(3000, id="long", marks=[pytest.mark.long, pytest.mark.timeout(7200)])],
)
def test_real_stores_and_the_model_answer_the_same(
    stack: LocalStack, mongo: Database[Document], examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a Redis that may take its time: the model's never stands still."""
    monkeypatch.setattr("booking_svc.inventory.PATIENCE", 2.0)
    with Redis.from_url(stack.redis_url, socket_timeout=60) as patient:
        machine = type("Machine", (InventoryMachine,), {"servers": (patient, mongo)})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
