"""What of the work in the background is left to do."""

from collections.abc import Mapping

from mailer_svc.ledger import WAITING
from rabbitmq import database
from rabbitmq.outbox import PENDING


def read(facts: Mapping[str, str]) -> dict[str, int]:
    """Bookings whose event waits for the relay, and confirmations that wait for the mailer, or are not heard of yet."""
    bookings = database.connect(facts["MONGO_URI"], "booking_svc")["bookings"]
    ledger = database.connect(facts["MONGO_URI"], "mailer_svc")["ledger"]
    return {
        "events": bookings.count_documents({PENDING: {"$exists": True}}),
        "mails": ledger.count_documents({"state": {"$in": WAITING}}),
    }
