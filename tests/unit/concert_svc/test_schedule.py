"""
The schedule's property test: whatever is done to a concert, and whatever becomes of the messages about it, it is open,
closed, over or called off when it should be.
"""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from concert_svc.back_office import BackOffice
from concert_svc.changes import Changes
from concert_svc.closing import Closing, NotYet
from concert_svc.concerts import Concerts
from concert_svc.contract import StartsTooSoon, WrongState
from rabbitmq.errors import Unavailable
from rabbitmq.outbox import Envelope
from rabbitmq.times import to_wire
from tests.unit.concert_svc.concerts import NOW, a_draft
from tests.unit.concert_svc.fakes import FakeBooking, FakeChanges, FakeConcerts

LASTS = timedelta(hours=2)
DAY = 86_400
#: Around the boundary, across the 49.7 days that overflow 32 bits of milliseconds, and where a sweep has its moment.
DISTANCES = st.sampled_from(
    [-1, 0, 9.999, 10, 10.001, 11, 30, 3600, DAY, 49 * DAY, 50 * DAY, 60 * DAY, 400 * DAY]
) | st.integers(11, 600)
PASSING = st.sampled_from([0.001, 0.5, 1, 9.99, 10, 60, 7200, DAY, 50 * DAY]) | st.integers(1, 600)


class Schedule(RuleBasedStateMachine):
    """One concert on a clock of its own, and a broker that does what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.concerts, self.changes, self.booking = FakeConcerts(lambda: self.now), FakeChanges(), FakeBooking()
        concerts = cast(Concerts, self.concerts)
        self.back_office = BackOffice(
            concerts,
            cast(Changes, self.changes),
            self.booking.set_sales_terms,
            LASTS,
            lambda: self.now,
            self.pass_seconds,
        )
        self.closing = Closing(concerts, LASTS, lambda: self.now, self.pass_seconds)
        self.messages: list[Envelope] = []
        self.told_before: list[Envelope] = []
        self.told_again: Counter[int] = Counter()
        self.called_off = False

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def told(self) -> list[Envelope]:
        """All that was ever told."""
        return [*self.told_before, *self.concert["outbox"]]

    @property
    def concert(self) -> Any:
        return self.concerts.find(self.id)

    @initialize(distance=st.sampled_from([10.001, 40, 3600, 60 * DAY, 400 * DAY]))
    def publish(self, distance: float) -> None:
        draft = a_draft(starts_at=to_wire(self.now + timedelta(seconds=distance)))
        self.id = draft["_id"]
        self.back_office.create(draft)
        self.back_office.publish("organiser", self.id)

    # --- what people do

    @rule(distance=DISTANCES, fault=st.sampled_from([None, None, "request lost", "answer lost"]))
    def move(self, distance: float, fault: str | None) -> None:
        before, closed = self.concert, self.now >= self.concert["sales_close_at"]
        starts_at = self.now + timedelta(seconds=distance)
        starts_at = starts_at.replace(microsecond=starts_at.microsecond // 1000 * 1000)
        self.booking.faults = [fault] if fault else []
        try:
            moved = self.back_office.update("organiser", self.id, {"starts_at": to_wire(starts_at)})
        except StartsTooSoon:
            assert starts_at - timedelta(seconds=10) <= self.now
        except WrongState:
            assert closed or before["status"] in ("closed", "finished", "cancelled") or "change" in before
        except Unavailable:
            assert fault is not None or "change" in before
        else:
            assert moved["starts_at"] == starts_at
            assert starts_at == before["starts_at"] or starts_at - timedelta(seconds=10) > self.now
        self.booking.faults = []

    @rule(title=st.text(min_size=1, max_size=3))
    def rename(self, title: str) -> None:
        try:
            self.back_office.update("organiser", self.id, {"title": title})
        except WrongState:
            pass

    @precondition(lambda self: not self.called_off)
    @rule(yes=st.sampled_from([False, False, False, True]))
    def call_off(self, yes: bool) -> None:
        if yes:
            try:
                self.back_office.cancel("organiser", self.id)
                self.called_off = True
            except WrongState:
                assert self.concert["status"] == "finished"

    # --- what happens by itself

    @rule(seconds=PASSING)
    def time_passes(self, seconds: float) -> None:
        self.pass_seconds(seconds)

    @rule()
    def relay_publishes(self) -> None:
        published = self.concerts.publish_all(self.id)
        self.messages += published
        self.told_before += published

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def broker_delivers_whenever_it_likes_and_perhaps_not_for_the_last_time(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.messages))
        handle = {"concert_starting": self.closing.close, "concert_finished": self.closing.finish}.get(event["type"])
        if handle is None:
            return
        told = len(self.told)
        try:
            handle(event["data"]["concert_id"], event["data"]["schedule_version"])
        except NotYet:
            assert "change" in self.concert
        if len(self.told) > told and event["type"] == "concert_starting":
            self.told_again[event["data"]["schedule_version"]] += 1

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def broker_loses(self, data: st.DataObject) -> None:
        self.messages.remove(data.draw(st.sampled_from(self.messages)))

    @rule()
    def sweep(self) -> None:
        """It brings everything to where it should be, whatever went before."""
        self.pass_seconds(11)  # the lease of whoever crashed
        self.back_office.carry_on_with_all()
        self.closing.catch_up()
        concert = self.concert
        assert "change" not in concert
        assert concert["status"] == (
            "cancelled" if self.called_off
            else "finished" if self.now >= concert["starts_at"] + LASTS
            else "closed" if self.now >= concert["sales_close_at"]
            else "published"
        )  # fmt: skip
        assert self.booking.terms is not None
        assert self.booking.terms["version"] == concert["schedule_version"]
        assert self.booking.terms["sales_close_at"] == to_wire(concert["sales_close_at"])

    @invariant()
    def nothing_closes_or_ends_before_its_time(self) -> None:
        concert = self.concert
        if concert["status"] in ("closed", "finished"):
            assert concert["closed_at"] >= concert["sales_close_at"] or self.called_off
        if concert["status"] == "finished":
            assert concert["finished_at"] >= concert["starts_at"] + LASTS
        assert (concert["status"] == "cancelled") == self.called_off

    @invariant()
    def sales_close_ten_seconds_before_the_start(self) -> None:
        assert self.concert["starts_at"] - self.concert["sales_close_at"] == timedelta(seconds=10)

    @invariant()
    def each_version_tells_once_when_sales_close(self) -> None:
        """And once more whenever a message came long before its time, which would be lost otherwise."""
        told = Counter(e["data"]["schedule_version"] for e in self.told if e["type"] == "concert_starting")
        assert all(times == 1 + self.told_again[version] for version, times in told.items())
        assert self.concert["status"] != "published" or told[self.concert["schedule_version"]] >= 1


Schedule.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSchedule = Schedule.TestCase
