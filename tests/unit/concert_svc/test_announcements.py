"""What the others are told of a concert."""

from datetime import timedelta
from typing import Any

import pytest

from concert_svc import announcements
from tests.unit.concert_svc.concerts import NOW, a_draft, on_sale

LASTS = timedelta(hours=3)


def told(before: Any, after: Any) -> dict[str, Any]:
    return {event["type"]: event for event in announcements.of_change(before, after, NOW, LASTS, "r1")}


def test_published_concert_tells_its_moments() -> None:
    before, after = a_draft(), on_sale()
    events = told(before, after)
    start = after["starts_at"]
    assert {name: event["not_before"] for name, event in events.items()} == {
        "concert_starting": start - timedelta(seconds=10),
        "concert_finished": start + LASTS,
        "concert_reminder_due": start - timedelta(hours=24),
    }
    for event in events.values():
        assert event["data"] == {"concert_id": after["_id"], "schedule_version": after["schedule_version"]}
        assert (event["source"], event["request_id"]) == ("concert_svc", "r1")


def test_nobody_is_reminded_of_a_concert_within_a_day() -> None:
    after = {**on_sale(), "starts_at": NOW + timedelta(hours=23)}
    assert "concert_reminder_due" not in told(a_draft(), after)


@pytest.mark.parametrize(
    "changes", [{"starts_at": NOW + timedelta(days=2)}, {"doors_at": NOW}, {"venue": {"name": "elsewhere"}}], ids=str
)
def test_moved_concert_tells_where_it_was_and_its_moments_again(changes: dict[str, Any]) -> None:
    before = on_sale()
    after = {**before, **changes, "schedule_version": 2}
    events = told(before, after)
    moved = events["concert_rescheduled"]["data"]
    assert (moved["concert_id"], moved["schedule_version"]) == (before["_id"], 2)
    assert moved["was"] != moved["concert"]
    assert events["concert_starting"]["data"]["schedule_version"] == 2


def test_other_changes_concern_no_buyer() -> None:
    before = on_sale()
    assert "concert_rescheduled" not in told(before, {**before, "title": "X", "schedule_version": 2})


def test_cancelled_concert_tells_that_and_nothing_else() -> None:
    assert list(told(on_sale(), {**on_sale(), "status": "cancelled"})) == ["concert_cancelled"]


def test_draft_tells_nothing() -> None:
    assert told(a_draft(), {**a_draft(), "title": "X"}) == {}
