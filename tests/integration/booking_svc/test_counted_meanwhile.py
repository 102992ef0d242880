"""Counting goes on while buyers act, processes die at any step, and the terms change: in the end nothing is wrong."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from redis import Redis

from booking_svc.audit.reading import Audit
from booking_svc.contract import SalesTerms
from booking_svc.counts import Count
from booking_svc.scripts import concert_key
from rabbitmq.database import Document
from tests.integration.booking_svc import keys
from tests.integration.booking_svc.process import Process
from tests.integration.booking_svc.test_model import CLOCK, SEATING, Act, World, by_our_clock
from tests.unit.booking_svc.concerts import items, new_id, seats, terms
from tests.unit.booking_svc.interruptions import die_before, undo

WANTED = [
    items(standing=1),
    items(standing=2),
    items(stalls=2),
    [*items(standing=1), *items(stalls=1)],
    seats("stalls", "B-1-2"),
    seats("stalls", "B-1-1", "B-2-1"),
]
ACTS = [*["hold"] * 3, *["book_hold"] * 4, *["cancel", "hear"] * 2, "book", "release", "look", "extend"]
#: Where a process dies, the places where it matters most more often.
DEATHS = [
    *[("holds", "settle")] * 5,
    *[("holds", "release")] * 2,
    *(("holds", step) for step in ("mark_sold", "abandon", "place_for_booking", "begin_booking")),
    ("bookings", "confirm"),
    ("bookings", "find"),
]
#: What may be wrong for good. Lowered limits and capacities are not what this is about.
WRONG = {"not_free", "not_lost", "sold_once", "whole"}
#: Seconds. Nobody waits long for a count that waits for him.
BRIEFLY, PATIENTLY = 0.05, 5.0


class Story:
    """One concert, by a clock of its own, and what chance makes happen to it."""

    def __init__(
        self, redis: Redis, mongo: Database[Document], chance: Random, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.redis, self.mongo, self.chance, self.monkeypatch = redis, mongo, chance, monkeypatch
        self.concert_id, self.version = new_id(), 1
        self.clock = int(time.time() * 1000)
        self.pass_time(0)
        self.process = Process(redis, mongo)
        by_our_clock(self.process)
        self.world = World(self.process, self.concert_id)
        self.wait(PATIENTLY)
        self.process.inventory.set_terms(self.on_sale())

    def wait(self, seconds: float) -> None:
        self.monkeypatch.setattr("booking_svc.inventory.PATIENCE", seconds)

    def on_sale(self) -> SalesTerms:
        change, self.version = self.version > 1, self.version + 1
        standing, limit = (self.chance.choice([2, 4, 5]), self.chance.choice([1, 3, 4])) if change else (4, 3)
        seating = SEATING if not change or self.chance.random() < 0.6 else {}
        offered: dict[str, Any] = {"capacities": {"standing": standing}, "limit": limit, "seating": seating}
        return terms(self.concert_id, version=self.version, closes_in=timedelta(days=30), **offered)

    def pass_time(self, seconds: int) -> None:
        self.clock += seconds * 1000
        self.redis.set(CLOCK + concert_key(self.concert_id), self.clock)

    def act(self) -> None:
        """A buyer does something, and perhaps the process dies over it."""
        what = self.chance.choice(ACTS)
        asked = self.chance.choice(WANTED) if what in ("book", "hold") else ()
        user, key = self.chance.choice(["ada", "bob"]), self.chance.choice(["k1", "k2", "k3"])
        again = what in ("book", "book_hold") and self.chance.random() < 0.3
        store, step = self.chance.choice(DEATHS)
        dies = self.chance.random() < 0.4
        if dies:
            die_before(getattr(self.process, store), step)
        self.world.do(Act(what, user, key, asked, self.chance.randrange(6), again))
        undo(getattr(self.process, store), step)

    def some_acts(self) -> None:
        for _ in range(self.chance.choice([0, 0, 1, 1, 2])):
            self.act()
        if self.chance.random() < 0.15:
            self.pass_time(self.chance.choice([2, 4, 11]))

    def be_lost(self) -> None:
        """Perhaps Redis is emptied, or rolled back."""
        how = self.chance.random()
        if how < 0.15:
            keys.forget(self.redis, self.concert_id)
        elif how < 0.3:
            kept = keys.copy(self.redis, self.concert_id)
            self.act()
            self.act()
            keys.roll_back(self.redis, self.concert_id, kept)
            self.redis.delete(concert_key(self.concert_id, "counting"))

    def be_counted(self) -> None:
        """With buyers at each pause of the count."""
        count = self.process.counts.begin(self.concert_id)
        if count is None:
            return
        self.wait(BRIEFLY)
        self.some_acts()
        offer, read_holds = self.process.terms.newest(self.concert_id), self.process.counts._holds

        def holds(count: Count) -> Any:
            read = read_holds(count)
            self.some_acts()
            return read

        def sold() -> Iterator[tuple[str, list[str]]]:
            yield from list(self.process.bookings.sold(self.concert_id))
            self.some_acts()

        with self.monkeypatch.context() as patch:
            patch.setattr(self.process.counts, "_holds", holds)
            if not self.process.counts.load(count, offer, sold()):
                self.process.counts.end(count)
        self.wait(PATIENTLY)

    def end(self) -> set[str]:
        """What is wrong when all is quiet: doubts are over, and the events of cancels are heard."""
        self.pass_time(12)
        self.redis.delete(concert_key(self.concert_id, "counting"))
        self.world.available()
        for user in ("ada", "bob"):
            for key in ("k1", "k2", "k3"):
                self.world.do(Act("hear", user, key))
        found = Audit(self.mongo, self.mongo, self.redis, pause=0).concert(self.concert_id)
        keys.forget(self.redis, self.concert_id)
        self.redis.delete(CLOCK + concert_key(self.concert_id))
        return {f"{breach.invariant}: {breach.what}" for breach in found if breach.invariant in WRONG}


@pytest.mark.parametrize(
    "examples",
    [pytest.param(40, id="short"), pytest.param(2000, id="long", marks=[pytest.mark.long, pytest.mark.timeout(3600)])],
)
def test_nothing_is_wrong_in_the_end(
    redis: Redis, new_database: Callable[[], Database[Document]], examples: int
) -> None:
    mongo = new_database()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(chance=st.randoms(use_true_random=True))
    def tell(chance: Random) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            story = Story(redis, mongo, chance, monkeypatch)
            for _ in range(2):
                for _ in range(chance.randrange(1, 5)):
                    story.act()
                if chance.random() < 0.3:
                    story.pass_time(chance.choice([2, 8, 12, 601]))
                story.be_lost()
                if chance.random() < 0.7:
                    story.process.terms.set(story.on_sale())
                story.be_counted()
            assert story.end() == set()

    tell()
