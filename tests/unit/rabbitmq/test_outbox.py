"""What an event is when it is stored."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from rabbitmq.outbox import envelope

NOW = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)


def test_envelope_says_who_tells_what_and_when() -> None:
    event = envelope("booking_svc", "booking_confirmed", 1, {"user_id": "u1"}, NOW)
    UUID(event.pop("event_id"))  # type: ignore[misc]
    assert event == {
        "source": "booking_svc",
        "type": "booking_confirmed",
        "seq": 1,
        "occurred_at": NOW,
        "data": {"user_id": "u1"},
    }


def test_each_envelope_has_an_id_of_its_own() -> None:
    assert len({envelope("a", "b", 1, {}, NOW)["event_id"] for _ in range(100)}) == 100


def test_moment_and_request_are_there_only_when_they_are_known() -> None:
    later = NOW + timedelta(days=1)
    event = envelope("a", "b", 1, {}, NOW, not_before=later, request_id="r1")
    assert (event["not_before"], event["request_id"]) == (later, "r1")
    assert not {"not_before", "request_id"} & envelope("a", "b", 1, {}, NOW).keys()
