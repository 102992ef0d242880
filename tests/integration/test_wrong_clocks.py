"""A process whose own clock is wrong by minutes: what has a moment has it by the database's clock all the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType
from unittest.mock import create_autospec

import pytest
from pymongo.database import Database

from mailer_svc import post_office
from mailer_svc.ledger import Ledger, Request
from mailer_svc.mail import Writer
from mailer_svc.mail_server import MailServer
from mailer_svc.post_office import PostOffice
from rabbitmq.database import Document

AHEAD, BEHIND = timedelta(minutes=20), -timedelta(minutes=20)
#: Makes the clock of the code in some modules wrong.
Wrong = Callable[..., None]


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Wrong:
    def make(by: timedelta, *modules: ModuleType) -> None:
        class Off(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + by

        for module in modules:
            monkeypatch.setattr(module, "datetime", Off, raising=False)

    return make


@pytest.fixture
def mongo(new_database: Callable[[], Database[Document]]) -> Database[Document]:
    return new_database()


def test_mail_that_is_entered_by_a_fast_clock_is_due_at_once_by_a_right_one(
    mongo: Database[Document], wrong: Wrong
) -> None:
    office = PostOffice(Ledger(mongo, "example.org"), create_autospec(Writer), create_autospec(MailServer), places=1)
    wrong(AHEAD, post_office)
    office.enter(Request("b1", "confirmation", "booking_confirmed", "ada", {}, datetime.now(UTC), booking_id="b1"))
    assert office.ledger.claim(datetime.now(UTC) + timedelta(seconds=1)) is not None
