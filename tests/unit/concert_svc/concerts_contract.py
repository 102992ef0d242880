"""What the stored concerts promise, whether they lie in MongoDB or in a test's memory."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from concert_svc import announcements, domain
from concert_svc.concerts import Concerts
from concert_svc.domain import ConcertDocument
from rabbitmq.database import Document
from tests.polling import poll

Add = Callable[..., ConcertDocument]


def status(concerts: Concerts, concert: ConcertDocument) -> str:
    return str(concerts.owned_by(concert["organiser_id"], concert["_id"])["status"])


def begin(
    concerts: Concerts, concert: ConcertDocument, action: domain.Action = "changed", **fields: Any
) -> ConcertDocument | None:
    return concerts.begin(concert, action, fields, "ada", "r1", datetime.now(UTC), uuid4().hex)


class ConcertsContract:
    """Needs the fixtures `concerts`, `add` and `publish`."""

    def test_change_is_written_down_and_then_put_in_force_with_its_events(
        self, concerts: Concerts, publish: Add
    ) -> None:
        concert = publish()
        begun = begin(concerts, concert, title="Night of the Flutes")
        assert begun is not None and begun["change"]["version"] == 2
        assert concerts.seen_by(None, concert["_id"])["title"] == concert["title"], "not yet"
        event = announcements.starting(domain.with_change(begun, begun["change"]), datetime.now(UTC))
        changed = concerts.commit(begun, [event])
        assert changed is not None and "change" not in changed
        assert (changed["title"], changed["schedule_version"], changed["last_version"]) == ("Night of the Flutes", 2, 2)
        assert [e["event_id"] for e in changed["outbox"]] == [event["event_id"]]
        assert concerts.commit(begun, [event]) is None

    def test_one_of_many_who_change_it_at_the_same_moment_begins(self, concerts: Concerts, publish: Add) -> None:
        concert = publish()
        with ThreadPoolExecutor(8) as threads:
            begun = list(threads.map(lambda n: begin(concerts, concert, title=str(n)), range(16)))
        assert len([one for one in begun if one is not None]) == 1

    def test_change_of_what_has_changed_meanwhile_does_not_begin(self, concerts: Concerts, publish: Add) -> None:
        concert = publish()
        for stale in ({"status": "draft"}, {"last_version": 0}):
            assert begin(concerts, {**concert, **stale}, title="X") is None

    @pytest.mark.parametrize(("closes_in", "action", "fields"), [
        (-1, "changed", {"title": "X"}),
        (60, "changed", {"sales_close_at": -1}),
        (-1, "published", {"status": "published"}),
    ])  # fmt: skip
    def test_change_that_comes_too_late_by_the_databases_clock_does_not_begin(
        self, concerts: Concerts, add: Add, closes_in: float, action: domain.Action, fields: Document
    ) -> None:
        concert = add(closes_in, status="draft" if action == "published" else "published")
        if "sales_close_at" in fields:
            fields = {"sales_close_at": datetime.now(UTC) + timedelta(seconds=fields["sales_close_at"])}
        assert begin(concerts, concert, action, **fields) is None

    def test_concert_is_called_off_after_its_sales_have_closed(self, concerts: Concerts, publish: Add) -> None:
        begun = begin(concerts, publish(-1), "cancelled", status="cancelled", cancelled_at=datetime.now(UTC))
        assert begun is not None
        cancelled = concerts.commit(begun, [])
        assert cancelled is not None and cancelled["status"] == "cancelled"

    def test_change_is_one_process_to_carry_out_until_it_is_given_back(self, concerts: Concerts, publish: Add) -> None:
        begun = begin(concerts, publish(), title="X")
        assert begun is not None
        assert concerts.take_over(begun, "another") is None
        assert begun["_id"] not in {c["_id"] for c in concerts.unfinished(datetime.now(UTC))}
        concerts.give_back(begun)
        assert begun["_id"] in {c["_id"] for c in concerts.unfinished(datetime.now(UTC) + timedelta(seconds=1))}
        taken = concerts.take_over(begun, "another")
        assert taken is not None and taken["change"]["fields"] == {"title": "X"}
        assert concerts.commit(begun, []) is None, "it is another's"
        assert concerts.commit(taken, []) is not None

    def test_dropped_change_leaves_the_concert_and_its_version_is_not_given_again(
        self, concerts: Concerts, publish: Add
    ) -> None:
        concert = publish()
        begun = begin(concerts, concert, title="X")
        assert begun is not None
        concerts.drop(begun)
        left = concerts.owned_by(concert["organiser_id"], concert["_id"])
        assert (left["title"], left["schedule_version"]) == (concert["title"], 1)
        again = begin(concerts, left, title="Y")
        assert again is not None and again["change"]["version"] == 3

    def test_nothing_moves_on_in_the_middle_of_a_change(self, concerts: Concerts, publish: Add) -> None:
        concert = publish(closes_in=1)
        begun = begin(concerts, concert, title="X")
        assert begun is not None
        poll(lambda: datetime.now(UTC) > concert["sales_close_at"])
        assert not concerts.close(concert["_id"], 1)
        concerts.commit(begun, [])
        assert concerts.close(concert["_id"], 2)

    def test_text_that_looks_like_an_expression_stays_text(self, concerts: Concerts, publish: Add) -> None:
        """The writes are pipelines: what is in them must not be run."""
        begun = begin(
            concerts, publish(), title="$venue", performers=["$title"], venue={"city": "$$NOW", "name": "$title"}
        )
        assert begun is not None and begun["change"]["fields"]["title"] == "$venue"
        event = announcements.starting(begun, datetime.now(UTC), request_id="$title")
        changed = concerts.commit(begun, [event])
        assert changed is not None
        assert (changed["title"], changed["performers"]) == ("$venue", ["$title"])
        assert changed["venue"] == {"city": "$$NOW", "name": "$title"}
        assert changed["outbox"][0]["request_id"] == "$title"

    def test_concert_is_closed_when_it_is_due(self, concerts: Concerts, publish: Add) -> None:
        concert = publish(closes_in=-0.001)
        assert concerts.close(concert["_id"], 1)
        closed = concerts.seen_by(None, concert["_id"])
        assert closed["status"] == "closed"
        assert closed["closed_at"] >= closed["sales_close_at"]

    def test_concert_is_not_closed_a_moment_before_it_is_due_and_is_then(
        self, concerts: Concerts, publish: Add
    ) -> None:
        concert = publish(closes_in=1)
        assert not concerts.close(concert["_id"], 1)
        assert status(concerts, concert) == "published"
        poll(lambda: concerts.close(concert["_id"], 1))
        closed = concerts.seen_by(None, concert["_id"])
        assert timedelta(0) <= closed["closed_at"] - closed["sales_close_at"] < timedelta(seconds=1)

    @pytest.mark.parametrize("version", [0, 1, 3])
    def test_concert_is_not_closed_by_the_hint_of_another_schedule(
        self, concerts: Concerts, publish: Add, version: int
    ) -> None:
        concert = publish(closes_in=-1, schedule_version=2)
        assert not concerts.close(concert["_id"], version)
        assert status(concerts, concert) == "published"

    @pytest.mark.parametrize("state", ["draft", "closed", "finished", "cancelled"])
    def test_nothing_but_a_published_concert_is_closed(self, concerts: Concerts, add: Add, state: str) -> None:
        concert = add(closes_in=-1, status=state)
        assert not concerts.close(concert["_id"], 1)
        assert status(concerts, concert) == state

    def test_concert_is_closed_once(self, concerts: Concerts, publish: Add) -> None:
        concert = publish(closes_in=-1)
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(lambda _: concerts.close(concert["_id"], 1), range(16))) == 1

    def test_overdue_are_the_published_whose_sales_have_closed(
        self, concerts: Concerts, publish: Add, add: Add
    ) -> None:
        due, not_due, draft = publish(closes_in=-1), publish(closes_in=60), add(closes_in=-1)
        overdue = dict(concerts.overdue(datetime.now(UTC)))
        assert overdue[due["_id"]] == 1
        assert not {not_due["_id"], draft["_id"]} & overdue.keys()
        concerts.close(due["_id"], 1)
        assert due["_id"] not in dict(concerts.overdue(datetime.now(UTC)))

    @pytest.mark.parametrize(("lasts", "over"), [(9, True), (11, False)])
    def test_concert_is_over_when_it_has_lasted_its_time(
        self, concerts: Concerts, add: Add, lasts: float, over: bool
    ) -> None:
        concert = add(closes_in=-20, status="closed")  # it began ten seconds ago
        assert concerts.finish(concert["_id"], 1, lasts) == over
        assert status(concerts, concert) == ("finished" if over else "closed")
        assert (concert["_id"] in dict(concerts.over(datetime.now(UTC) - timedelta(seconds=lasts)))) is False
