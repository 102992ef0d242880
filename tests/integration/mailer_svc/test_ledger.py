"""The ledger of mails in a real MongoDB."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pymongo.database import Database
from pymongo.errors import WriteError

from mailer_svc.ledger import CLAIM, CONFIRMATION_COMES, GIVE_UP, LONGEST_PAUSE, Entry, Ledger, Request
from rabbitmq.database import Document
from rabbitmq.outbox import Envelope, envelope

NOW = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)
KIND = "confirmation"


@pytest.fixture
def mongo(new_database: Callable[[], Database[Document]]) -> Database[Document]:
    """A database for the test alone: a ledger gives whatever is due."""
    return new_database()


@pytest.fixture
def ledger(mongo: Database[Document]) -> Ledger:
    return Ledger(mongo, "example.org", first_pause=timedelta(seconds=5))


def request(booking: str | None = None, kind: str = KIND, **more: Any) -> Request:
    booking = booking or uuid4().hex
    wanted: dict[str, Any] = {
        **{"about": booking, "kind": kind, "document": "booking_confirmed", "user_id": "ada"},
        **{"data": {"booking": {"id": booking}}, "as_of": NOW, "booking_id": booking},
    }
    return Request(**{**wanted, **more})


def claimed(ledger: Ledger, now: datetime = NOW) -> Entry:
    entry = ledger.claim(now)
    assert entry is not None
    return entry


def stored(mongo: Database[Document], entry: Entry) -> Document:
    found = mongo["ledger"].find_one({"_id": entry["_id"]})
    assert found is not None
    return found


def expire(mongo: Database[Document]) -> None:
    """As if each claim were a moment older than it may be."""
    mongo["ledger"].update_many({}, {"$set": {"claimed_until": datetime.now(UTC) - timedelta(seconds=1)}})


def sent_event() -> Envelope:
    return envelope("mailer_svc", "confirmation_sent", 1, {}, NOW)


def test_mail_is_entered_once_with_one_message_id_for_ever(ledger: Ledger, mongo: Database[Document]) -> None:
    wanted = request("b1")
    with ThreadPoolExecutor(8) as threads:
        entries = list(threads.map(lambda _: ledger.enter(wanted, NOW), range(16)))
    entries.append(Ledger(mongo, "another.example").enter(wanted, NOW + timedelta(days=1)))
    assert {entry["message_id"] for entry, _ in entries} == {"<b1.confirmation@example.org>"}
    assert sum(is_new for _, is_new in entries) == 1
    assert mongo["ledger"].count_documents({}) == 1


def test_another_kind_of_mail_is_another_mail(ledger: Ledger) -> None:
    ids = {ledger.enter(request("b1", kind), NOW).entry["message_id"] for kind in (KIND, "resend-1", "resend-2")}
    assert len(ids) == 3


def test_mail_is_claimed_by_one_of_many_at_the_same_moment(ledger: Ledger) -> None:
    ledger.enter(request(), NOW)
    with ThreadPoolExecutor(8) as threads:
        assert sum(entry is not None for entry in threads.map(lambda _: ledger.claim(NOW), range(16))) == 1


def test_urgent_mails_go_first_then_who_has_waited_longest(ledger: Ledger) -> None:
    ledger.enter(request("second"), NOW - timedelta(seconds=1))
    ledger.enter(request("first"), NOW - timedelta(seconds=2))
    ledger.enter(request("urgent", urgent=True), NOW)
    ledger.enter(request("later"), NOW + timedelta(seconds=1))
    claims = [ledger.claim(NOW) for _ in range(4)]
    assert [claim and claim["booking_id"] for claim in claims] == ["urgent", "first", "second", None]


def test_sent_mail_is_never_claimed_again_forgets_what_it_said_and_tells(
    ledger: Ledger, mongo: Database[Document]
) -> None:
    wanted = request()
    ledger.enter(wanted, NOW)
    entry, event = claimed(ledger), sent_event()
    for _ in range(2):
        ledger.record_sent(entry, event, NOW)
    assert ledger.claim(NOW + timedelta(days=365)) is None
    found = stored(mongo, entry)
    assert found["state"] == "sent" and "data" not in found
    assert [told["event_id"] for told in found["outbox"]] == [event["event_id"]]
    assert ledger.enter(wanted, NOW).entry["state"] == "sent"


def test_how_it_ended_is_told_again_when_asked_but_not_twice_at_once(ledger: Ledger, mongo: Database[Document]) -> None:
    ledger.enter(request(), NOW)
    entry = claimed(ledger)
    ledger.record_sent(entry, sent_event(), NOW)
    ended = stored(mongo, entry)
    ledger.tell_again(ended, sent_event())
    assert len(stored(mongo, entry)["outbox"]) == 1  # it is about to be told
    mongo["ledger"].update_one({"_id": entry["_id"]}, {"$set": {"outbox": []}})
    ledger.tell_again(ended, sent_event())
    assert len(stored(mongo, entry)["outbox"]) == 1


def test_mail_that_was_not_taken_comes_back_ever_later_for_72_hours(ledger: Ledger, mongo: Database[Document]) -> None:
    ledger.enter(request(), NOW)
    now, pauses = NOW, []
    while True:
        entry = claimed(ledger, now)
        if not ledger.try_again(entry, "451 later", now):
            break
        again = stored(mongo, entry)
        assert (again["state"], again["reason"]) == ("queued", "451 later")
        assert ledger.claim(again["due_at"] - timedelta(milliseconds=1)) is None
        pauses.append(again["due_at"] - now)
        now = again["due_at"]
    seconds = [pause.total_seconds() for pause in pauses]
    assert 4 <= seconds[0] <= 6 and 8 <= seconds[1] <= 12 and 16 <= seconds[2] <= 24
    assert all(pause <= LONGEST_PAUSE * 1.2 for pause in pauses)
    assert NOW + GIVE_UP - LONGEST_PAUSE * 1.2 < now <= NOW + GIVE_UP
    assert 60 < len(pauses) < 110


def test_mail_of_no_use_after_a_moment_is_not_tried_past_it(ledger: Ledger) -> None:
    ledger.enter(request(until=NOW + timedelta(seconds=3)), NOW)
    assert not ledger.try_again(claimed(ledger), "451 later", NOW)


def test_mail_that_is_refused_for_good_keeps_the_reason_and_its_data(ledger: Ledger, mongo: Database[Document]) -> None:
    ledger.enter(request(), NOW)
    entry = claimed(ledger)
    ledger.record_failed(entry, "550 no such mailbox", sent_event(), NOW)
    found = stored(mongo, entry)
    assert (found["state"], found["reason"], found["data"]) == ("failed", "550 no such mailbox", entry["data"])
    assert ledger.claim(NOW + timedelta(days=365)) is None


def test_token_of_a_mail_is_forgotten_however_it_ends(ledger: Ledger, mongo: Database[Document]) -> None:
    for end in (lambda e: ledger.record_failed(e, "550", None, NOW), lambda e: ledger.record_sent(e, None, NOW)):
        ledger.enter(request(about=uuid4().hex, booking_id=None, data={"token": "secret"}), NOW)
        entry = claimed(ledger)
        end(entry)
        assert "data" not in stored(mongo, entry)


def test_mail_whose_sender_crashed_is_due_again_when_its_claim_is_over(
    ledger: Ledger, mongo: Database[Document]
) -> None:
    ledger.enter(request(), NOW)
    claimed(ledger)
    assert ledger.take_back() == 0 and ledger.claim(NOW) is None
    expire(mongo)
    assert ledger.take_back() == 1
    assert claimed(ledger)["attempts"] == 2


def test_claim_that_is_kept_is_not_taken_back(ledger: Ledger, mongo: Database[Document]) -> None:
    ledger.enter(request(), NOW)
    entry = claimed(ledger)
    expire(mongo)
    ledger.keep([entry["claim"]])
    assert ledger.take_back() == 0
    left = stored(mongo, entry)["claimed_until"] - datetime.now(UTC)
    assert CLAIM - timedelta(seconds=5) < left <= CLAIM


def test_who_has_lost_a_claim_changes_nothing_but_what_was_sent_is_sent(
    ledger: Ledger, mongo: Database[Document]
) -> None:
    ledger.enter(request(), NOW)
    frozen = claimed(ledger)
    expire(mongo)
    ledger.take_back()
    other = claimed(ledger)
    ledger.try_again(frozen, "too late", NOW)
    ledger.put_off(frozen, NOW + timedelta(hours=1))
    ledger.record_failed(frozen, "too late", None, NOW)
    assert stored(mongo, other)["state"] == "sending"
    ledger.record_sent(frozen, None, NOW)
    ledger.record_failed(other, "550", None, NOW)
    assert stored(mongo, other)["state"] == "sent"


def test_mail_that_is_put_off_has_not_been_tried(ledger: Ledger) -> None:
    ledger.enter(request(), NOW)
    ledger.put_off(claimed(ledger), NOW + timedelta(seconds=2))
    assert ledger.claim(NOW) is None
    assert claimed(ledger, NOW + timedelta(seconds=2))["attempts"] == 1


def test_slow_ones_are_left_out_when_asked(ledger: Ledger) -> None:
    ledger.enter(request("slow"), NOW)
    ledger.try_again(claimed(ledger), "too slow", NOW, slow=True)
    ledger.enter(request("quick"), NOW + timedelta(minutes=1))
    later = NOW + timedelta(minutes=2)
    quick = ledger.claim(later, slow_too=False)
    assert quick is not None and quick["booking_id"] == "quick"
    assert ledger.claim(later, slow_too=False) is None
    assert claimed(ledger, later)["booking_id"] == "slow"


def test_mails_about_a_booking_go_out_in_the_order_of_what_they_tell(ledger: Ledger) -> None:
    cancelled = request("b1", "cancellation", as_of=NOW + timedelta(minutes=1))
    ledger.enter(cancelled, NOW)
    later = claimed(ledger)
    assert ledger.waits_until(later, NOW) is not None, "its confirmation is still to come"
    ledger.put_off(later, NOW)
    ledger.enter(request("b1"), NOW)
    first = next(entry for entry in (claimed(ledger), claimed(ledger)) if entry["kind"] == KIND)
    later = ledger.enter(cancelled, NOW).entry
    assert ledger.waits_until(first, NOW) is None
    assert ledger.waits_until(later, NOW) is not None
    ledger.try_again(first, "451", NOW)
    due_at = ledger.enter(request("b1"), NOW).entry["due_at"]
    until = ledger.waits_until(later, NOW)
    assert until is not None and until > due_at
    ledger.record_sent(first, None, NOW)
    assert ledger.waits_until(later, NOW) is None


def test_mail_about_a_booking_does_not_wait_for_ever_for_a_confirmation(ledger: Ledger) -> None:
    entry = ledger.enter(request("b1", "cancellation"), NOW).entry
    assert ledger.waits_until(entry, NOW + CONFIRMATION_COMES) is not None
    assert ledger.waits_until(entry, NOW + CONFIRMATION_COMES + timedelta(seconds=1)) is None


def test_backlog_tells_how_many_wait_and_since_when(ledger: Ledger) -> None:
    assert ledger.backlog() == (0, None)
    for minutes in (1, 3, 2):
        ledger.enter(request(), NOW - timedelta(minutes=minutes))
    assert ledger.backlog() == (3, NOW - timedelta(minutes=3))
    claimed(ledger)
    assert ledger.backlog().mails == 2


def test_what_waits_is_found_among_what_is_asked_for(ledger: Ledger) -> None:
    ledger.enter(request("sent"), NOW)
    ledger.record_sent(claimed(ledger), sent_event(), NOW)
    ledger.enter(request("failed"), NOW)
    ledger.record_failed(claimed(ledger), "550 no such mailbox", sent_event(), NOW)
    ledger.enter(request("sending"), NOW)
    claimed(ledger)
    ledger.enter(request("queued", "resend-1"), NOW)
    asked = [("queued", "resend-1"), *((about, KIND) for about in ("sent", "failed", "sending", "queued", "unknown"))]
    assert sorted(ledger.find_waiting(asked)) == ["queued", "sending"]


def test_database_refuses_a_state_that_is_none(mongo: Database[Document], ledger: Ledger) -> None:
    entry = ledger.enter(request(), NOW).entry
    with pytest.raises(WriteError):
        mongo["ledger"].update_one({"_id": entry["_id"]}, {"$set": {"state": "lost"}})
