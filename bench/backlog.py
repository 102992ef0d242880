"""What of the work in the background is left to do, and what it takes."""

import time
from collections.abc import Mapping

from pymongo.collection import Collection

from bench import costs
from bench.measure import Measured
from bench.stack import Stack
from mailer_svc.ledger import WAITING
from rabbitmq import database
from rabbitmq.database import Document
from rabbitmq.outbox import PENDING

UNTOLD: Document = {PENDING: {"$exists": True}}
SENT: Document = {"state": "sent"}
#: Seconds until the events of a table are out.
PATIENCE = 120


def read(facts: Mapping[str, str]) -> dict[str, int]:
    """Bookings whose event waits for the relay, and confirmations that wait for the mailer, or are not heard of yet."""
    bookings, ledger = _collections(facts)
    return {"events": bookings.count_documents(UNTOLD), "mails": ledger.count_documents({"state": {"$in": WAITING}})}


def work_off(stack: Stack, seconds: float) -> Measured:
    """What it takes to send a mail, and to write and tell that it is sent, once all events are out; *seconds* long."""
    bookings, ledger = _collections(stack.facts)
    deadline = time.monotonic() + PATIENCE
    while bookings.count_documents(UNTOLD) and time.monotonic() < deadline:
        time.sleep(1)
    processes, sent = stack.processes(), ledger.count_documents(SENT)
    began, before = time.monotonic(), costs.read(processes)
    time.sleep(seconds)
    spent, took = costs.read(processes).since(before), time.monotonic() - began
    mails = max(1, ledger.count_documents(SENT) - sent)
    return Measured("mails", 0, took, mails / took, p50=0, p99=0, cpu=costs.for_each(spent, mails))


def _collections(facts: Mapping[str, str]) -> tuple[Collection[Document], Collection[Document]]:
    """The bookings, and the mailer's ledger."""
    uri = facts["MONGO_URI"]
    return database.connect(uri, "booking_svc")["bookings"], database.connect(uri, "mailer_svc")["ledger"]
