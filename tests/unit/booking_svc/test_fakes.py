"""The fakes keep the promises of what they stand for."""

import pytest

from tests.unit.booking_svc.bookings_contract import BookingsContract
from tests.unit.booking_svc.concerts import new_id
from tests.unit.booking_svc.fakes import FakeBookings, FakeTerms
from tests.unit.booking_svc.holds_contract import HoldsContract
from tests.unit.booking_svc.model import ModelOfCounts, ModelOfHolds, ModelOfRedis
from tests.unit.booking_svc.terms_contract import TermsContract


@pytest.fixture
def concert_id() -> str:
    return new_id()


@pytest.fixture
def redis() -> ModelOfRedis:
    return ModelOfRedis()


@pytest.fixture
def holds(redis: ModelOfRedis) -> ModelOfHolds:
    return ModelOfHolds(redis)


@pytest.fixture
def counts(redis: ModelOfRedis) -> ModelOfCounts:
    return ModelOfCounts(redis)


@pytest.fixture
def bookings() -> FakeBookings:
    return FakeBookings()


@pytest.fixture
def stored_terms() -> FakeTerms:
    return FakeTerms()


class TestModelOfHolds(HoldsContract):
    pass


class TestFakeBookings(BookingsContract):
    pass


class TestFakeTerms(TermsContract):
    pass
