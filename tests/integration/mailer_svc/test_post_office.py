"""What becomes of a mail in a real ledger that is not even written: its buyer's address cannot be had."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import create_autospec

import pytest
from kombu.exceptions import OperationalError
from nameko.exceptions import RemoteError, UnknownService
from pymongo.database import Database

from auth_svc.contract import Contact
from mailer_svc.ledger import Entry, Ledger, Request
from mailer_svc.mail import Writer
from mailer_svc.mail_server import MailServer
from mailer_svc.post_office import PostOffice
from rabbitmq.database import Document
from rabbitmq.errors import AlreadyHandled, Unavailable

FAULTS = [RemoteError("KeyError", "name"), UnknownService("auth_svc"), OperationalError("refused")]


@pytest.fixture
def mongo(new_database: Callable[[], Database[Document]]) -> Database[Document]:
    return new_database()


@pytest.fixture
def office(mongo: Database[Document]) -> PostOffice:
    """Whose writer and mail server must not be needed."""
    return PostOffice(Ledger(mongo, "example.org"), create_autospec(Writer), create_autospec(MailServer), places=1)


def claimed(office: PostOffice, until: datetime | None = None) -> Entry:
    now = datetime.now(UTC)
    wanted: dict[str, Any] = {"user_id": "ada", "data": {}, "as_of": now, "booking_id": "b1", "until": until}
    office.enter(Request("b1", "confirmation", "booking_confirmed", **wanted))
    entry = office.ledger.claim(now + timedelta(seconds=1))
    assert entry is not None
    return entry


def failing(fault: Exception) -> Callable[[str], Contact]:
    def contact_of(user_id: str) -> Contact:
        raise fault

    return contact_of


def stored(mongo: Database[Document]) -> Document:
    (entry,) = mongo["ledger"].find()
    return entry


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_mail_is_tried_again_later_whatever_the_fault(
    office: PostOffice, mongo: Database[Document], fault: Exception
) -> None:
    office.deliver(claimed(office), failing(fault))
    entry = stored(mongo)
    assert (entry["state"], entry["attempts"]) == ("queued", 1)
    assert entry["due_at"] > datetime.now(UTC) + timedelta(seconds=1)
    assert type(fault).__name__ in entry["reason"]


@pytest.mark.parametrize("fault", [*FAULTS, Unavailable("auth_svc")], ids=lambda fault: type(fault).__name__)
def test_mail_is_given_up_when_its_time_is_over_whatever_the_fault(
    office: PostOffice, mongo: Database[Document], fault: Exception
) -> None:
    office.deliver(claimed(office, until=datetime.now(UTC)), failing(fault))
    entry = stored(mongo)
    assert entry["state"] == "failed" and entry["reason"]
    assert [event["type"] for event in entry["outbox"]] == ["confirmation_failed"]


def test_silence_of_auth_svc_is_no_attempt(office: PostOffice, mongo: Database[Document]) -> None:
    office.deliver(claimed(office), failing(Unavailable("auth_svc")))
    assert (stored(mongo)["state"], stored(mongo)["attempts"]) == ("queued", 0)


def asked(kind: str, event_id: str | None = "e1", booking_id: str | None = "b1") -> Request:
    now = datetime.now(UTC)
    return Request("b1", kind, "booking_cancelled", "ada", {}, now, booking_id=booking_id, event_id=event_id)


def test_that_a_mail_is_entered_is_told_with_it_and_again_to_whoever_asks_again(
    office: PostOffice, mongo: Database[Document]
) -> None:
    """A reminder may be asked for by two events; each hears of itself."""
    office.enter(asked("reminder-1"))
    (told,) = stored(mongo)["outbox"]
    assert (told["type"], told["data"]) == ("mail_entered", {"booking_id": "b1", "event_id": "e1"})
    for event_id in ("e1", "e2"):
        mongo["ledger"].update_one({}, {"$set": {"outbox": []}})  # the relay was here
        with pytest.raises(AlreadyHandled):
            office.enter(asked("reminder-1", event_id))
        (told,) = stored(mongo)["outbox"]
        assert told["data"] == {"booking_id": "b1", "event_id": event_id}


@pytest.mark.parametrize(
    "of", [asked("confirmation"), asked("resend-1"), asked("password-reset", booking_id=None)], ids=lambda of: of.kind
)
def test_of_confirmations_and_mails_to_accounts_it_is_not_told(
    office: PostOffice, mongo: Database[Document], of: Request
) -> None:
    office.enter(of)
    assert stored(mongo)["outbox"] == []
