"""Concerts in a real MongoDB, whose clock decides."""

import pytest
from pymongo.database import Database
from pymongo.errors import WriteError

from concert_svc import domain
from concert_svc.concerts import Concerts
from concert_svc.contract import ConcertNotFound
from rabbitmq.database import Document
from tests.unit.concert_svc.concerts_contract import Add, ConcertsContract


class TestConcerts(ConcertsContract):
    pass


# --- who sees what


def test_draft_is_seen_by_its_organiser_only(concerts: Concerts, add: Add, organiser: str) -> None:
    draft = add()
    assert concerts.seen_by(organiser, draft["_id"])["_id"] == draft["_id"]
    for viewer in (None, "somebody else", ""):
        with pytest.raises(ConcertNotFound):
            concerts.seen_by(viewer, draft["_id"])


@pytest.mark.parametrize("state", domain.PUBLIC)
def test_concert_that_was_published_is_seen_by_everybody(concerts: Concerts, add: Add, state: str) -> None:
    concert = add(status=state)
    for viewer in (None, "somebody else", concert["organiser_id"]):
        assert concerts.seen_by(viewer, concert["_id"])["status"] == state


def test_concert_is_owned_by_its_organiser_only(concerts: Concerts, publish: Add) -> None:
    with pytest.raises(ConcertNotFound):
        concerts.owned_by("somebody else", publish()["_id"])


# --- the law of the database


@pytest.mark.parametrize(
    "breach", [{"status": "sold"}, {"starts_at": "tomorrow"}, {"sales_close_at": None}, {"ticket_types": []}]
)
def test_database_refuses_what_is_no_concert(
    mongo: Database[Document], concerts: Concerts, add: Add, breach: Document
) -> None:
    with pytest.raises(WriteError):
        mongo["concerts"].update_one({"_id": add()["_id"]}, {"$set": breach})


def test_preparing_again_keeps_the_concerts(mongo: Database[Document], publish: Add) -> None:
    concert = publish()
    assert Concerts(mongo).seen_by(None, concert["_id"])["title"] == concert["title"]
