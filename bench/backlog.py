"""What of the work in the background is left to do, and what it takes."""

import time
from collections.abc import Mapping

from bench import costs
from bench.measure import Measured
from bench.stack import Stack
from mailer_svc.ledger import WAITING
from rabbitmq import database
from rabbitmq.outbox import PENDING

#: Seconds until the events of a table are out.
PATIENCE = 120


def read(facts: Mapping[str, str]) -> dict[str, int]:
    """Bookings whose event waits for the relay, confirmations that wait for the mailer, and those that are sent."""
    bookings = database.connect(facts["MONGO_URI"], "booking_svc")["bookings"]
    ledger = database.connect(facts["MONGO_URI"], "mailer_svc")["ledger"]
    return {
        "events": bookings.count_documents({PENDING: {"$exists": True}}),
        "mails": ledger.count_documents({"state": {"$in": WAITING}}),
        "sent": ledger.count_documents({"state": "sent"}),
    }


def work_off(stack: Stack, seconds: float) -> Measured:
    """What it takes to send a mail, and to write and tell that it is sent, once all events are out; *seconds* long."""
    deadline = time.monotonic() + PATIENCE
    while read(stack.facts)["events"] and time.monotonic() < deadline:
        time.sleep(1)
    processes, sent = stack.processes(), read(stack.facts)["sent"]
    began, before = time.monotonic(), costs.read(processes)
    time.sleep(seconds)
    spent, took = costs.read(processes).since(before), time.monotonic() - began
    mails = max(1, read(stack.facts)["sent"] - sent)
    cpu = {program: 1000 * spent[program] / mails for program in sorted(spent)}
    return Measured("mails", 0, took, mails / took, p50=0, p99=0, cpu=cpu)
