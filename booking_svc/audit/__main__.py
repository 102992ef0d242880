"""
`python -m booking_svc.audit`: checks the invariants of the running system, prints a table.

MONGO_URI and REDIS_URL say where. Exit code 0: all hold; 1: one is breached; 2: it could not be done.
"""

import os
import sys
import time

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from booking_svc.audit.checks import INVARIANTS, Breach
from booking_svc.audit.reading import Audit
from rabbitmq import database, redis_server
from rabbitmq.database import NotAReplicaSet

#: Seconds that Redis may take to tell all of one concert: of a million buyers, beside others, more than half of one.
PATIENCE = 10
#: Offending ids printed for each invariant.
SHOWN = 20


def main() -> int:
    """Audit, print, and return the exit code."""
    began = time.monotonic()
    try:
        bookings = database.connect(os.environ["MONGO_URI"], "booking_svc", scans=True)
        redis = redis_server.connect(os.environ["REDIS_URL"], patience=PATIENCE)
        audit = Audit(bookings, bookings.client["mailer_svc"], redis)
        concerts, breaches = audit.concerts(), set[Breach]()
        for number, concert_id in enumerate(concerts, start=1):
            if sys.stderr.isatty():
                print(f"\r  concert {number} of {len(concerts)}", end="", file=sys.stderr, flush=True)
            breaches |= audit.concert(concert_id)
        breaches |= audit.tickets_and_mails()
    except KeyError as unset:
        print(f"{unset.args[0]} is not set.", file=sys.stderr)
        return 2
    except (PyMongoError, RedisError, NotAReplicaSet) as error:
        print(f"The audit needs MongoDB and Redis: {error}", file=sys.stderr)
        return 2
    if sys.stderr.isatty():
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    print(report(breaches))
    print(f"{len(concerts)} concerts in {time.monotonic() - began:.1f} s: ", end="")
    print(f"breaches: {len(breaches)}." if breaches else "all invariants hold.")
    return 1 if breaches else 0


def report(breaches: set[Breach]) -> str:
    """A line for each invariant, and below it what breaches it."""
    lines = []
    for invariant, sentence in INVARIANTS.items():
        found = sorted(breach for breach in breaches if breach.invariant == invariant)
        lines.append(f"{'BREACH' if found else 'ok':6}  {sentence}")
        lines += [f"          {f'concert {b.concert_id}: ' if b.concert_id else ''}{b.what}" for b in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"          and {len(found) - SHOWN} more")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
