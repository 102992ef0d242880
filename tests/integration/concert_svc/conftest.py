"""The collection of concerts, and concerts of a test's own in it."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo.database import Database

from concert_svc import domain
from concert_svc.concerts import Concerts
from concert_svc.domain import ConcertDocument
from rabbitmq.database import Document
from rabbitmq.times import to_wire
from tests.unit.concert_svc.concerts import NEW


@pytest.fixture(scope="session")
def concerts(mongo: Database[Document]) -> Concerts:
    return Concerts(mongo)


@pytest.fixture
def organiser() -> str:
    """Somebody nobody else is."""
    return uuid4().hex


@pytest.fixture
def add(concerts: Concerts, organiser: str) -> Callable[..., ConcertDocument]:
    """Adds a draft of the organiser, whose sales close so many seconds from now (or closed so many before)."""

    def add_(closes_in: float = 3600, **changes: Any) -> ConcertDocument:
        now = datetime.now(UTC)
        closes_at = now + timedelta(seconds=closes_in)
        starts_at = to_wire(closes_at + domain.SALES_CLOSE_BEFORE_START)
        long_ago = closes_at - timedelta(days=1)
        draft = domain.draft(organiser, {**copy.deepcopy(NEW), "starts_at": starts_at}, min(now, long_ago))
        draft.update(changes)
        concerts.add(draft)
        return draft

    return add_


@pytest.fixture
def publish(concerts: Concerts, add: Callable[..., ConcertDocument]) -> Callable[..., ConcertDocument]:
    """Adds a concert as `add` does, on sale."""

    def publish_(closes_in: float = 3600, **changes: Any) -> ConcertDocument:
        return add(closes_in, status="published", **{"published_at": datetime.now(UTC), **changes})

    return publish_
