"""The ledger of mails in a real MongoDB."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pymongo.database import Database
from pymongo.errors import WriteError

from mailer_svc.ledger import CLAIM, Ledger
from rabbitmq.database import Document
from rabbitmq.outbox import Envelope, envelope

NOW = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)
KIND = "confirmation"


@pytest.fixture(scope="session")
def ledger(mongo: Database[Document]) -> Ledger:
    return Ledger(mongo, "example.org")


@pytest.fixture
def booking() -> str:
    """The id of a booking nobody else knows."""
    return uuid4().hex


def sent_event() -> Envelope:
    return envelope("mailer_svc", "confirmation_sent", 1, {}, NOW)


def test_mail_is_claimed_by_one(ledger: Ledger, booking: str) -> None:
    entry = ledger.claim(booking, KIND, NOW)
    assert entry is not None and (entry["booking_id"], entry["state"], entry["attempts"]) == (booking, "sending", 1)
    assert ledger.claim(booking, KIND, NOW) is None
    assert not ledger.is_sent(booking, KIND)


def test_mail_is_claimed_by_one_of_many_at_the_same_moment(ledger: Ledger, booking: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        claimed = list(threads.map(lambda _: ledger.claim(booking, KIND, NOW), range(16)))
    assert sum(entry is not None for entry in claimed) == 1


def test_sent_mail_is_never_claimed_again_and_its_event_waits_for_the_relay(
    ledger: Ledger, mongo: Database[Document], booking: str
) -> None:
    entry = ledger.claim(booking, KIND, NOW)
    assert entry is not None
    event = sent_event()
    ledger.record_sent(entry, event, NOW)
    assert ledger.is_sent(booking, KIND)
    assert ledger.claim(booking, KIND, NOW + timedelta(days=365)) is None
    stored = mongo["ledger"].find_one({"_id": entry["_id"]})
    assert stored is not None and [told["event_id"] for told in stored["outbox"]] == [event["event_id"]]


def test_sending_is_recorded_once(ledger: Ledger, mongo: Database[Document], booking: str) -> None:
    entry = ledger.claim(booking, KIND, NOW)
    assert entry is not None
    for _ in range(2):
        ledger.record_sent(entry, sent_event(), NOW)
    stored = mongo["ledger"].find_one({"_id": entry["_id"]})
    assert stored is not None and len(stored["outbox"]) == 1


def test_mail_that_is_given_back_can_be_claimed_at_once(ledger: Ledger, booking: str) -> None:
    first = ledger.claim(booking, KIND, NOW)
    assert first is not None
    ledger.give_back(first)
    second = ledger.claim(booking, KIND, NOW)
    assert second is not None and second["attempts"] == 2


def test_mail_whose_sender_crashed_can_be_claimed_when_its_time_is_over(ledger: Ledger, booking: str) -> None:
    assert ledger.claim(booking, KIND, NOW) is not None
    assert ledger.claim(booking, KIND, NOW + CLAIM - timedelta(milliseconds=1)) is None
    assert ledger.claim(booking, KIND, NOW + CLAIM + timedelta(milliseconds=1)) is not None


def test_sent_mail_is_not_given_back(ledger: Ledger, booking: str) -> None:
    entry = ledger.claim(booking, KIND, NOW)
    assert entry is not None
    ledger.record_sent(entry, sent_event(), NOW)
    ledger.give_back(entry)
    assert ledger.is_sent(booking, KIND)
    assert ledger.claim(booking, KIND, NOW) is None


def test_mail_has_one_message_id_for_ever(ledger: Ledger, mongo: Database[Document], booking: str) -> None:
    ids = set()
    for attempt in range(3):
        entry = ledger.claim(booking, KIND, NOW + attempt * 2 * CLAIM)
        assert entry is not None
        ids.add(entry["message_id"])
    moved = Ledger(mongo, "another.example").claim(booking, KIND, NOW + timedelta(days=1))
    assert moved is not None
    assert ids | {moved["message_id"]} == {f"<{booking}.{KIND}@example.org>"}


def test_another_kind_of_mail_is_another_mail(ledger: Ledger, booking: str) -> None:
    first, second = ledger.claim(booking, KIND, NOW), ledger.claim(booking, "reminder", NOW)
    assert first is not None and second is not None and first["message_id"] != second["message_id"]


def test_database_refuses_a_state_that_is_none(mongo: Database[Document], ledger: Ledger, booking: str) -> None:
    entry = ledger.claim(booking, KIND, NOW)
    assert entry is not None
    with pytest.raises(WriteError):
        mongo["ledger"].update_one({"_id": entry["_id"]}, {"$set": {"state": "lost"}})
