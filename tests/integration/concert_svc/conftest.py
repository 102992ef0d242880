"""The collection of concerts, and concerts of a test's own in it."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from pymongo.database import Database

from concert_svc.concerts import Concerts
from concert_svc.domain import ConcertDocument
from rabbitmq.database import Document
from tests.unit.concert_svc.concerts import new_adder


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
    return new_adder(concerts, organiser)


@pytest.fixture
def publish(add: Callable[..., ConcertDocument]) -> Callable[..., ConcertDocument]:
    """Adds a concert as `add` does, on sale."""
    return lambda closes_in=3600, **changes: add(closes_in, **{"status": "published", **changes})
