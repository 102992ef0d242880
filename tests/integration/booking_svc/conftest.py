from collections.abc import Iterator

import pytest
from pymongo.database import Database
from redis import Redis

from booking_svc.bookings import Bookings
from booking_svc.box_office import BoxOffice
from booking_svc.holds import Holds
from booking_svc.terms import Terms
from rabbitmq.database import Document
from tests.unit.booking_svc.concerts import new_id


@pytest.fixture
def concert_id(redis: Redis) -> Iterator[str]:
    """A concert nobody else uses; Redis forgets it afterwards."""
    concert = new_id()
    yield concert
    for key in redis.scan_iter(match=f"{{{concert}}}*", count=1000):
        redis.delete(key)


@pytest.fixture
def holds(redis: Redis) -> Holds:
    return Holds(redis)


@pytest.fixture(scope="session")
def bookings(mongo: Database[Document]) -> Bookings:
    return Bookings(mongo)


@pytest.fixture
def stored_terms(mongo: Database[Document]) -> Terms:
    return Terms(mongo)


@pytest.fixture
def box_office(holds: Holds, bookings: Bookings, stored_terms: Terms) -> BoxOffice:
    return BoxOffice(holds, bookings, stored_terms)
