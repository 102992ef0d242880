"""The path of a change, and what a crash or a refusal at each of its steps leaves."""

from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from booking_svc import contract as booking
from concert_svc.back_office import BackOffice
from concert_svc.changes import Changes
from concert_svc.concerts import Concerts
from concert_svc.contract import CapacityBelowSold, ConcertNotFound, SeatsTaken, WrongState
from rabbitmq.errors import Unavailable
from tests.unit.concert_svc.concerts import NEW, NOW, a_draft
from tests.unit.concert_svc.fakes import FakeBooking, FakeChanges, FakeConcerts


class Office:
    """A back office with a draft, and a clock that stands still."""

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.concerts, self.changes, self.booking = FakeConcerts(lambda: self.now), FakeChanges(), FakeBooking()
        self.back_office = BackOffice(
            cast(Concerts, self.concerts), cast(Changes, self.changes), self.booking.set_sales_terms,
            timedelta(hours=4), lambda: self.now,
        )  # fmt: skip
        draft = a_draft()
        self.id = draft["_id"]
        self.back_office.create(draft, "r0")

    @property
    def concert(self) -> Any:
        return self.concerts.find(self.id)

    def publish(self) -> Any:
        return self.back_office.publish("organiser", self.id, "r1")

    def update(self, **asked: Any) -> Any:
        return self.back_office.update("organiser", self.id, cast(Any, asked), "r2")


@pytest.fixture
def office() -> Office:
    return Office()


def test_concert_is_sold_by_its_terms_before_it_is_published(office: Office) -> None:
    office.booking.faults = ["request lost"]
    with pytest.raises(Unavailable):
        office.publish()
    assert office.concert["status"] == "draft"
    assert office.publish()["status"] == "published"
    assert office.booking.terms is not None
    assert office.booking.terms["version"] == office.concert["schedule_version"]


@pytest.mark.parametrize("fault", ["request lost", "answer lost"])
def test_change_that_nobody_answered_comes_into_force_once_with_the_same_version(office: Office, fault: str) -> None:
    office.publish()
    office.booking.faults = [fault]
    with pytest.raises(Unavailable):
        office.update(title="X")
    office.back_office.carry_on_with_all()
    office.back_office.carry_on_with_all()
    assert (office.concert["title"], office.concert["schedule_version"]) == ("X", 3)
    assert office.booking.terms is not None and office.booking.terms["version"] == 3
    assert len([e for e in office.concerts.publish_all(office.id) if e["data"]["schedule_version"] == 3]) == 3
    assert [entry["version"] for entry in office.changes.entries.values()] == [1, 2, 3]


def test_next_change_carries_on_with_the_one_that_crashed(office: Office) -> None:
    office.publish()
    office.booking.faults = ["answer lost"]
    with pytest.raises(Unavailable):
        office.update(title="X")
    changed = office.update(performers=["Bach"])
    assert (changed["title"], changed["performers"], changed["schedule_version"]) == ("X", ["Bach"], 4)


def test_same_request_again_after_a_crash_is_no_second_change(office: Office) -> None:
    office.publish()
    office.booking.faults = ["request lost"]
    with pytest.raises(Unavailable):
        office.update(title="X")
    assert office.update(title="X")["schedule_version"] == 3
    assert len(office.changes.entries) == 3


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (booking.CapacityBelowSold("standing", "7"), CapacityBelowSold("standing", "7")),
        (booking.TicketsUnavailable("B-1-1"), SeatsTaken("B-1-1")),
    ],
    ids=["capacity", "seats"],
)
def test_refused_cut_leaves_the_concert_as_it_was(office: Office, refusal: Exception, expected: Exception) -> None:
    before = office.publish()
    office.booking.refusal = refusal
    with pytest.raises(type(expected)) as refused:
        office.update(ticket_types=[{**NEW["ticket_types"][0], "capacity": 5}])
    assert refused.value.args == expected.args
    office.booking.refusal = None
    assert {**office.concert, "last_version": 0} == {**before, "last_version": 0}
    assert office.update(title="X")["schedule_version"] == 4, "the version of a refused change is not given again"


def test_cut_that_is_refused_when_it_is_carried_on_with_is_dropped(office: Office) -> None:
    office.publish()
    office.booking.faults = ["request lost"]
    with pytest.raises(Unavailable):
        office.update(ticket_types=[{**NEW["ticket_types"][0], "capacity": 5}])
    office.booking.refusal = booking.CapacityBelowSold("standing", "7")
    office.back_office.carry_on_with_all()
    assert "change" not in office.concert and office.concert["schedule_version"] == 2


def test_audit_trail_says_who_changed_what_of_which_version(office: Office) -> None:
    office.publish()
    office.update(title="X", performers=NEW["performers"])
    office.back_office.cancel("organiser", office.id, "r3")
    entries = list(office.changes.entries.values())
    assert [(e["version"], e["action"], e["request_id"]) for e in entries] == [
        (1, "created", "r0"), (2, "published", "r1"), (3, "changed", "r2"), (4, "cancelled", "r3"),
    ]  # fmt: skip
    assert entries[2]["fields"] == {"title": {"was": NEW["title"], "is": "X"}}
    assert {e["by"] for e in entries} == {"organiser"}


def test_deleted_draft_is_gone_and_its_audit_trail_is_not(office: Office) -> None:
    office.back_office.delete("organiser", office.id, "r1")
    with pytest.raises(ConcertNotFound):
        office.publish()
    assert [e["action"] for e in office.changes.entries.values()] == ["created", "deleted"]


def test_draft_is_changed_without_anybody_being_told(office: Office) -> None:
    office.booking.faults = ["request lost"]
    assert office.update(title="X")["outbox"] == []
    assert office.booking.terms is None


def test_cancelled_concert_is_sold_no_more_and_tells_so(office: Office) -> None:
    office.publish()
    cancelled = office.back_office.cancel("organiser", office.id)
    assert office.booking.terms is not None and office.booking.terms["status"] == "cancelled"
    assert cancelled["outbox"][-1]["type"] == "concert_cancelled"
    with pytest.raises(WrongState):
        office.update(title="X")


def test_nobody_changes_the_concert_of_another(office: Office) -> None:
    for act in (office.back_office.publish, office.back_office.cancel, office.back_office.delete):
        with pytest.raises(ConcertNotFound):
            act("somebody else", office.id)
