"""Concerts in memory."""

from collections.abc import Callable

import pytest

from concert_svc.domain import ConcertDocument
from tests.unit.concert_svc.concerts import new_adder
from tests.unit.concert_svc.fakes import FakeConcerts


@pytest.fixture
def concerts() -> FakeConcerts:
    return FakeConcerts()


@pytest.fixture
def add(concerts: FakeConcerts) -> Callable[..., ConcertDocument]:
    return new_adder(concerts, "organiser")


@pytest.fixture
def publish(add: Callable[..., ConcertDocument]) -> Callable[..., ConcertDocument]:
    return lambda closes_in=3600, **changes: add(closes_in, **{"status": "published", **changes})
