"""Concerts that never were."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from concert_svc import domain
from concert_svc.contract import NewConcert
from rabbitmq.times import to_wire

NOW = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)
NEW: NewConcert = {
    "title": "Night of the Organs",
    "performers": ["Ada Lovelace"],
    "venue": {"name": "Konzerthaus", "city": "Berlin", "country": "DE", "timezone": "Europe/Berlin"},
    "starts_at": "2027-01-20T19:00:00Z",
    "ticket_types": [
        {"code": "standing", "name": "Standing", "price": {"amount": 4500, "currency": "EUR"}, "capacity": 200}
    ],
}
SEATED: Any = {
    "code": "balcony",
    "name": "Balcony",
    "price": {"amount": 8000, "currency": "EUR"},
    "seating": [
        {"section": "B", "rows": ["1", "2", "3"], "seats_per_row": 10},
        {"section": "C", "rows": ["1"], "seats_per_row": 4},
    ],
    "blocked_seats": ["B-1-1", "B-1-2"],
}


def a_draft(**changes: Any) -> domain.ConcertDocument:
    return domain.draft("organiser", {**copy.deepcopy(NEW), **changes}, NOW)  # type: ignore[typeddict-item]


def on_sale(**changes: Any) -> domain.ConcertDocument:
    return {**a_draft(**changes), "status": "published", "published_at": NOW}


def in_seconds(seconds: float) -> str:
    return to_wire(NOW + timedelta(seconds=seconds))


def new_adder(concerts: Any, organiser: str) -> Callable[..., domain.ConcertDocument]:
    """Adds drafts of the organiser to *concerts*, whose sales close so many seconds from now (or closed before)."""

    def add(closes_in: float = 3600, **changes: Any) -> domain.ConcertDocument:
        closes_at = datetime.now(UTC) + timedelta(seconds=closes_in)
        closes_at = closes_at.replace(microsecond=closes_at.microsecond // 1000 * 1000)  # as MongoDB keeps it
        new: Any = {**copy.deepcopy(NEW), "starts_at": to_wire(closes_at + domain.SALES_CLOSE_BEFORE_START)}
        draft = domain.draft(organiser, new, min(datetime.now(UTC), closes_at - timedelta(days=1)))
        draft.update(changes)
        concerts.add(draft)
        return draft

    return add
