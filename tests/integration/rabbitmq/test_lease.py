"""A lease among processes, on a real MongoDB."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import uuid4

import pytest
from pymongo.collection import Collection
from pymongo.database import Database

from rabbitmq import lease
from rabbitmq.database import Document
from rabbitmq.lease import Lease
from tests.polling import poll


@pytest.fixture
def leases(mongo: Database[Document]) -> Collection[Document]:
    return mongo["leases"]


@pytest.fixture
def name() -> str:
    return uuid4().hex


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody loses a lease because the machine pauses."""
    monkeypatch.setattr(lease, "LASTS", 60.0)


@pytest.mark.usefixtures("lasting")
def test_one_of_many_has_it(leases: Collection[Document], name: str) -> None:
    many = [Lease(leases, name) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        held = list(pool.map(lambda one: one.hold(), many))
    assert sum(held) == 1
    assert [one.hold() for one in many] == held


@pytest.mark.usefixtures("lasting")
def test_holder_renews_it_and_keeps_it(
    leases: Collection[Document], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW", 0.05)
    first, second = Lease(leases, name), Lease(leases, name)

    def until() -> datetime:
        kept = leases.find_one({"_id": name})
        assert kept
        return kept["until"]

    assert first.hold()
    ends = until()
    poll(lambda: first.hold() and until() > ends)
    assert not second.hold()


def test_silent_holder_loses_it_and_knows(
    leases: Collection[Document], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LASTS", 0.5)
    first, second = Lease(leases, name), Lease(leases, name)
    poll(first.hold)
    monkeypatch.setattr(lease, "LASTS", 60.0)
    poll(second.hold)
    assert time.monotonic() >= first._until, "the first thought longer that it was its own"
    assert not first.hold()


@pytest.mark.usefixtures("lasting")
def test_released_lease_is_free_at_once_and_only_its_holder_releases_it(
    leases: Collection[Document], name: str
) -> None:
    first, second, third = (Lease(leases, name) for _ in range(3))
    assert first.hold()
    third.release()
    assert not second.hold()
    first.release()
    assert third.hold()


def test_another_takes_over_within_five_seconds(leases: Collection[Document], name: str) -> None:
    assert lease.LASTS + lease.LOOK < 5
    first, second = Lease(leases, name), Lease(leases, name)
    assert first.hold()
    kept = leases.aggregate([{"$match": {"_id": name}}, {"$project": {"left": {"$subtract": ["$until", "$$NOW"]}}}])
    assert kept.next()["left"] <= lease.LASTS * 1000
    poll(second.hold, seconds=30)
