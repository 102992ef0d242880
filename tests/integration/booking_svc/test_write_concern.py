"""A booking that was answered is there after MongoDB was killed: what the concerns of `rabbitmq.database` are for."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from redis import Redis

from rabbitmq.errors import Unavailable
from tests.integration.booking_svc.keys import forget
from tests.integration.booking_svc.own_mongod import OwnMongod
from tests.integration.booking_svc.process import Process
from tests.unit.booking_svc.concerts import items, new_id, terms

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

#: What the server has in memory is an answer, and may be read.
HASTY: dict[str, Any] = {"write_concern": WriteConcern(1, j=False), "read_concern": ReadConcern("local")}
BUYERS, KILLS = 4, 5
#: Seconds of selling before a kill.
SELLING = 1.3


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[OwnMongod]:
    own = OwnMongod(tmp_path)
    own.start()
    yield own
    own.kill()


def lost_by_a_kill(mongod: OwnMongod, redis: Redis, **concerns: Any) -> int:
    """How many bookings are gone that were answered."""
    process, concert_id = Process(redis, mongod.connect(**concerns)), new_id()
    process.inventory.set_terms(terms(concert_id, capacities={"standing": 100_000}))
    answered: list[str] = []

    def buy() -> None:
        while True:
            try:
                booking, _ = process.box_office.book(new_id(), new_id(), concert_id, items(standing=1))
            except (PyMongoError, Unavailable):
                return
            answered.append(booking["_id"])

    buyers = [threading.Thread(target=buy) for _ in range(BUYERS)]
    for buyer in buyers:
        buyer.start()
    time.sleep(SELLING)  # the load itself
    mongod.kill()
    for buyer in buyers:
        buyer.join()
    mongod.start()
    forget(redis, concert_id)
    assert answered
    return len(answered) - mongod.connect()["bookings"].count_documents({"_id": {"$in": answered}})


def test_what_was_answered_is_there_after_a_kill(mongod: OwnMongod, redis: Redis) -> None:
    assert [lost_by_a_kill(mongod, redis) for _ in range(KILLS)] == [0] * KILLS


def test_answered_from_memory_it_would_be_lost(mongod: OwnMongod, redis: Redis) -> None:
    """The negative control. Reads of what a majority has would be enough: with w:1 alone, nothing is answered."""
    assert any(lost_by_a_kill(mongod, redis, **HASTY) for _ in range(KILLS))
