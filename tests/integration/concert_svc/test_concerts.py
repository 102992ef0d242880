"""Concerts in a real MongoDB, whose clock decides."""

import base64
import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import WriteError

from concert_svc import domain
from concert_svc.concerts import Concerts
from concert_svc.contract import ConcertNotFound
from concert_svc.domain import ConcertDocument
from rabbitmq.database import Document
from rabbitmq.times import to_wire
from tests.polling import poll
from tests.unit.concert_svc.test_domain import NEW

Add = Callable[..., ConcertDocument]


def status(concerts: Concerts, concert: ConcertDocument) -> str:
    return str(concerts.owned_by(concert["organiser_id"], concert["_id"])["status"])


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


def test_list_has_what_is_on_sale_the_next_first_and_nothing_twice(
    new_database: Callable[[], Database[Document]], organiser: str
) -> None:
    concerts = Concerts(new_database())
    now = datetime.now(UTC)
    for number in range(7):
        starts_at = now + timedelta(days=number // 2 + 1)  # two at a time start together
        draft = domain.draft(organiser, {**NEW, "starts_at": to_wire(starts_at)}, now)
        concerts.add({**draft, "status": "draft" if number == 3 else "published"})
    seen: list[ConcertDocument] = []
    cursor = None
    for _ in itertools.count():
        page = concerts.published(2, cursor)
        seen += page.documents
        if (cursor := page.next_cursor) is None:
            break
    assert len({concert["_id"] for concert in seen}) == len(seen) == 6
    assert [c["starts_at"] for c in seen] == sorted(c["starts_at"] for c in seen)
    assert all(concert["status"] == "published" for concert in seen)


def encode(value: Any) -> str:
    """*value* as a cursor is written."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense",
        "=",
        "é",
        encode(5),
        encode([]),
        encode(["2027-01-01T00:00:00Z"]),
        encode(["tomorrow", "c1"]),
        encode(["2027-01-01T00:00:00", "c1"]),
        encode([5, "c1"]),
        encode(["0001-01-01T00:00:00+23:59", "c1"]),
        encode(["9999-12-31T23:59:59-23:59", "c1"]),
        encode({"a": 1, "b": 2}),
        encode(["2027-01-01T00:00:00Z", "\ud800"]),
    ],
)
def test_cursor_that_cannot_be_read_means_the_beginning(concerts: Concerts, publish: Add, cursor: str) -> None:
    publish()
    assert concerts.published(5, cursor).documents == concerts.published(5, None).documents != []


# --- publishing


def test_concert_is_published_once_with_its_event(concerts: Concerts, add: Add, mongo: Database[Document]) -> None:
    draft = add()
    now = datetime.now(UTC)
    first, second = (domain.starting_event(draft, now) for _ in range(2))
    published = concerts.publish(draft, first)
    assert published is not None and published["status"] == "published"
    assert abs(published["published_at"] - now) < timedelta(seconds=5)
    assert [event["event_id"] for event in published["outbox"]] == [first["event_id"]]
    assert concerts.publish(draft, second) is None
    assert len(concerts.seen_by(None, draft["_id"])["outbox"]) == 1


def test_one_of_many_who_publish_at_the_same_moment_does(concerts: Concerts, add: Add) -> None:
    draft = add()

    def publish(_: int) -> bool:
        return concerts.publish(draft, domain.starting_event(draft, datetime.now(UTC))) is not None

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(publish, range(16))) == 1


def test_draft_that_has_changed_meanwhile_is_not_published(concerts: Concerts, add: Add) -> None:
    draft = add(schedule_version=2)
    assert concerts.publish({**draft, "schedule_version": 1}, domain.starting_event(draft, datetime.now(UTC))) is None
    assert status(concerts, draft) == "draft"


def test_text_that_looks_like_an_expression_stays_text(concerts: Concerts, add: Add) -> None:
    """The write is a pipeline: what is in the event must not be run."""
    draft = add()
    event = domain.starting_event(draft, datetime.now(UTC), request_id="$title")
    published = concerts.publish(draft, event)
    assert published is not None and published["outbox"][0]["request_id"] == "$title"


# --- closing


def test_concert_is_closed_when_it_is_due(concerts: Concerts, publish: Add) -> None:
    concert = publish(closes_in=-0.001)
    assert concerts.close(concert["_id"], 1)
    closed = concerts.seen_by(None, concert["_id"])
    assert closed["status"] == "closed"
    assert closed["closed_at"] >= closed["sales_close_at"]


def test_concert_is_not_closed_a_moment_before_it_is_due_and_is_then(concerts: Concerts, publish: Add) -> None:
    concert = publish(closes_in=1)
    assert not concerts.close(concert["_id"], 1)
    assert status(concerts, concert) == "published"
    poll(lambda: concerts.close(concert["_id"], 1))
    closed = concerts.seen_by(None, concert["_id"])
    assert timedelta(0) <= closed["closed_at"] - closed["sales_close_at"] < timedelta(seconds=1)


@pytest.mark.parametrize("version", [0, 1, 3])
def test_concert_is_not_closed_by_the_hint_of_another_schedule(concerts: Concerts, publish: Add, version: int) -> None:
    concert = publish(closes_in=-1, schedule_version=2)
    assert not concerts.close(concert["_id"], version)
    assert status(concerts, concert) == "published"


@pytest.mark.parametrize("state", ["draft", "closed", "finished", "cancelled"])
def test_nothing_but_a_published_concert_is_closed(concerts: Concerts, add: Add, state: str) -> None:
    concert = add(closes_in=-1, status=state)
    assert not concerts.close(concert["_id"], 1)
    assert status(concerts, concert) == state


def test_concert_is_closed_once(concerts: Concerts, publish: Add) -> None:
    concert = publish(closes_in=-1)
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(lambda _: concerts.close(concert["_id"], 1), range(16))) == 1


def test_overdue_are_the_published_whose_sales_have_closed(concerts: Concerts, publish: Add, add: Add) -> None:
    due, not_due, draft = publish(closes_in=-1), publish(closes_in=60), add(closes_in=-1)
    overdue = dict(concerts.overdue(datetime.now(UTC)))
    assert overdue[due["_id"]] == 1
    assert not {not_due["_id"], draft["_id"]} & overdue.keys()
    concerts.close(due["_id"], 1)
    assert due["_id"] not in dict(concerts.overdue(datetime.now(UTC)))


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
