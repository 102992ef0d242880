"""A process whose own clock is wrong by minutes: what has a moment has it by the database's clock all the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType
from unittest.mock import create_autospec

import pytest
from pymongo.database import Database

from auth_svc import users
from auth_svc.users import Users
from booking_svc import retelling
from booking_svc.bookings import Bookings
from booking_svc.retelling import Retelling
from concert_svc import back_office, closing
from concert_svc.back_office import BackOffice
from concert_svc.changes import Changes
from concert_svc.closing import Closing
from concert_svc.concerts import Concerts
from mailer_svc import post_office
from mailer_svc.ledger import Ledger, Request
from mailer_svc.mail import Writer
from mailer_svc.mail_server import MailServer
from mailer_svc.post_office import PostOffice
from rabbitmq import delays, relay
from rabbitmq.confirms import Confirmed, ConfirmingConnection
from rabbitmq.database import Document
from rabbitmq.lease import Lease
from rabbitmq.outbox import envelope
from rabbitmq.relay import Relay
from rabbitmq.topology import OutboxPlace
from tests.unit.booking_svc.concerts import draft, terms
from tests.unit.concert_svc.concerts import new_adder

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


def test_close_of_sales_is_saved_by_a_slow_clock(mongo: Database[Document], wrong: Wrong) -> None:
    concerts = Concerts(mongo)
    concert = new_adder(concerts, "grace")(-5, status="published")
    wrong(BEHIND, closing)
    Closing(concerts).catch_up()
    assert (saved := concerts.find(concert["_id"])) is not None
    assert saved["status"] == "closed"


def test_concert_that_starts_soon_is_published_by_a_fast_clock(mongo: Database[Document], wrong: Wrong) -> None:
    concerts = Concerts(mongo)
    concert = new_adder(concerts, "grace")(600)
    wrong(AHEAD, back_office)
    office = BackOffice(concerts, Changes(mongo), lambda terms: None)
    assert office.publish("grace", concert["_id"])["status"] == "published"


def test_news_are_not_told_again_too_early_by_a_fast_clock(mongo: Database[Document], wrong: Wrong) -> None:
    bookings = Bookings(mongo)
    bookings.confirm(draft(terms("c1"), "standing:1"), "r1")
    mongo["bookings"].update_many({}, {"$set": {"outbox": []}})  # the relay was here
    wrong(AHEAD, retelling)
    assert Retelling(bookings, timedelta(minutes=10)).tell_overdue(lambda _: []) == 0


def test_mailed_token_of_a_slow_clock_is_good(mongo: Database[Document], wrong: Wrong) -> None:
    accounts = Users(mongo)
    user = accounts.add("ada@example.org", "Ada", "hash", ["customer"])
    wrong(2 * BEHIND, users)
    accounts.begin_reset(user)
    changed = accounts.get(user["_id"])
    told = next(event for event in changed["outbox"] if event["type"] == "password_reset_requested")
    assert accounts.with_reset_token(told["data"]["token"])["_id"] == user["_id"]


def test_delayed_event_is_given_its_whole_delay_by_a_fast_clock(
    mongo: Database[Document], wrong: Wrong, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "OUTBOXES", (OutboxPlace(mongo.name, "things"),))
    event = envelope("s", "t", 1, {}, datetime.now(UTC), not_before=datetime.now(UTC) + timedelta(minutes=10))
    mongo["things"].insert_one({"_id": "one", "outbox": [event]})
    broker = create_autospec(ConfirmingConnection, instance=True)
    broker.publish.return_value = [Confirmed()]
    wrong(AHEAD, relay)
    Relay("amqp://nowhere", mongo.client, Lease(mongo["leases"], "relay")).publish_pending(broker)
    ((message,), _), _ = broker.publish.call_args
    assert message.exchange == delays.ENTRANCE
