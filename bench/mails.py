"""
How many mails a mailer process sends in a second, and what one costs: `python -m bench.mails [NUMBER]`.

It needs a running stack (`make run`, with DATA_DIR if it is not .data). One buyer books; the confirmation is then
entered in the ledger as often as asked, each a mail of its own kind, and the mailer sends them to where mail goes here.
"""

import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from os import environ
from pathlib import Path
from typing import NamedTuple

from bench import costs
from bench.programme import Programme
from bench.stack import Stack
from local import data_dir, private_files
from mailer_svc.ledger import Ledger, Request
from rabbitmq import database

TICKETS = 2
#: Seconds after which something is wrong.
PATIENCE = 600


class Measured(NamedTuple):
    mails: int
    seconds: float
    cpu: float  #: seconds of the mailer's process

    def __str__(self) -> str:
        a_second, each = self.mails / self.seconds, self.cpu / self.mails * 1000
        return f"{self.mails} mails with {TICKETS} tickets: {a_second:.1f} a second, {each:.0f} ms of CPU a mail"


def measure(facts: Mapping[str, str], number: int) -> Measured:
    """Send *number* mails through the mailer of the stack that *facts* describe."""
    programme = Programme(facts)
    user_id, token = programme.buyer()
    booking = programme.sell(programme.concert(), token, TICKETS)
    ledger = Ledger(database.connect(facts["MONGO_URI"], "mailer_svc"), "example.org")
    processes = Stack(facts).processes()
    began, before = time.monotonic(), costs.read(processes)
    run = uuid.uuid4().hex[:8]
    for n in range(number):
        kind = f"bench-{run}-{n}"
        # Of no booking, as far as the ledger knows: it waits for no other mail.
        wanted = Request(booking["id"], kind, "booking_confirmed", user_id, {"booking": booking}, datetime.now(UTC))
        ledger.enter(wanted, datetime.now(UTC))
    while ledger.backlog().mails:
        if time.monotonic() > began + PATIENCE:
            raise TimeoutError(f"{ledger.backlog().mails} mails are left after {PATIENCE} s")
        time.sleep(0.1)
    return Measured(number, time.monotonic() - began, costs.read(processes).since(before)["mailer_svc"])


if __name__ == "__main__":
    folder = Path(environ.get("DATA_DIR", ".data")).resolve()
    print(measure(private_files.read_values(data_dir.runtime_file(folder)), int((sys.argv[1:] or ["200"])[0])))
