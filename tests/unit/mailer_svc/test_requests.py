"""Which mail an event asks for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mailer_svc import requests
from rabbitmq.outbox import Envelope
from tests.unit.mailer_svc.letters import BOOKING, CANCELLED, NOW, TOKEN, WAS


def event(type: str, seq: int = 1, **data: Any) -> Envelope:
    """As it arrives: times are text."""
    told: dict[str, Any] = {
        **{"event_id": "8f14e45f-ea1c", "source": "booking_svc", "type": type, "seq": seq},
        **{"occurred_at": "2026-11-23T12:00:00Z", "request_id": "r1", "data": {"user_id": "ada", **data}},
    }
    return told  # type: ignore[return-value]


def test_each_event_asks_for_its_mail() -> None:
    asked = [
        requests.confirmation(event("booking_confirmed", booking=BOOKING)),
        requests.resend(event("confirmation_requested", booking=BOOKING, number=2)),
        requests.cancellation(event("booking_cancelled", booking=CANCELLED, reason="buyer")),
        requests.cancellation(event("booking_cancelled", booking=CANCELLED, reason="concert_cancelled")),
        requests.rescheduling(event("booking_rescheduled", booking=BOOKING, was=WAS)),
        requests.reminder(event("booking_reminder_due", booking=BOOKING)),
    ]
    assert [(one.about, one.kind, one.document) for one in asked] == [
        ("b1", "confirmation", "booking_confirmed"),
        ("b1", "resend-2", "booking_confirmed"),
        ("b1", "cancellation", "booking_cancelled"),
        ("b1", "cancellation", "concert_cancelled"),
        ("b1", "reschedule-8f14e45f", "booking_rescheduled"),
        ("b1", "reminder-202612011900", "booking_reminder"),
    ]
    assert {(one.user_id, one.booking_id, one.as_of, one.request_id) for one in asked} == {("ada", "b1", NOW, "r1")}
    assert {one.event_id for one in asked} == {"8f14e45f-ea1c"}


def test_reminder_is_of_no_use_after_the_start() -> None:
    asked = requests.reminder(event("booking_reminder_due", booking=BOOKING))
    assert asked.until == datetime(2026, 12, 1, 19, tzinfo=UTC)


@pytest.mark.parametrize("ask", [requests.password_reset, requests.address_verification])
def test_mail_with_a_token_is_urgent_and_ends_before_the_token(ask: Any) -> None:
    asked = ask(event("password_reset_requested", **TOKEN))
    assert asked.urgent and asked.booking_id is None
    assert asked.until is not None and asked.until < datetime(2026, 11, 23, 13, tzinfo=UTC)
    assert asked.data == TOKEN


@pytest.mark.parametrize(
    ("kind", "shown"), [("confirmation", True), ("resend-12", True), ("cancellation", False), ("reminder-1", False)]
)
def test_booking_shows_how_its_confirmations_ended(kind: str, shown: bool) -> None:
    assert requests.is_confirmation(kind) is shown
