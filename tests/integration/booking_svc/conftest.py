from collections.abc import Callable, Iterator

import pytest
from pymongo.database import Database
from redis import Redis

from booking_svc.bookings import Bookings
from booking_svc.counts import Counts
from booking_svc.holds import Holds
from booking_svc.scripts import Scripts
from booking_svc.terms import Terms
from rabbitmq.database import Document
from tests.integration.booking_svc.keys import forget
from tests.integration.booking_svc.process import Process
from tests.unit.booking_svc.concerts import new_id


@pytest.fixture
def concert_id(redis: Redis) -> Iterator[str]:
    """A concert nobody else uses; Redis forgets it afterwards."""
    concert = new_id()
    yield concert
    forget(redis, concert)


@pytest.fixture
def holds(redis: Redis) -> Holds:
    return Holds(Scripts(redis))


@pytest.fixture
def counts(redis: Redis) -> Counts:
    return Counts(Scripts(redis))


@pytest.fixture(scope="session")
def bookings(mongo: Database[Document]) -> Bookings:
    return Bookings(mongo)


@pytest.fixture
def stored_terms(mongo: Database[Document]) -> Terms:
    return Terms(mongo)


@pytest.fixture
def new_process(redis: Redis, mongo: Database[Document]) -> Callable[[], Process]:
    """Gives what one more booking_svc process works with."""
    return lambda: Process(redis, mongo)


@pytest.fixture
def process(new_process: Callable[[], Process]) -> Process:
    return new_process()
