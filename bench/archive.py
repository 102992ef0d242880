"""Bookings of the past: copies of one that the platform made, so that there are as many as after a season."""

import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from typing import Any

import httpx
from pymongo import MongoClient

from bench.programme import Programme
from booking_svc import domain
from booking_svc.scripts import concert_key
from rabbitmq import redis_server

CAPACITY = 1_000_000  #: the most there can be
#: The places of the copies; those before it are left to be booked.
FIRST = 50_000
#: Documents in one write.
AT_ONCE = 2000
#: Seconds until a booking is made, told, mailed and heard of again; and until 200,000 of them are counted.
PATIENCE = 60

Document = dict[str, Any]


class Archive:
    """A concert with one booking, of which there can be copies; on the stack that *facts* describe."""

    def __init__(self, facts: Mapping[str, str], programme: Programme, token: str) -> None:
        self.concert_id = programme.concert(CAPACITY)
        self._api_url = facts["API_URL"]
        # A client of our own: it waits for what takes long.
        self._mongo: MongoClient[Document] = MongoClient(facts["MONGO_URI"], tz_aware=True)
        self._bookings = self._mongo["booking_svc"]["bookings"]
        self._mails = self._mongo["mailer_svc"]["ledger"]
        self._redis = redis_server.connect(facts["REDIS_URL"])
        self._stored = 0
        programme.sell(self.concert_id, token)

    def store(self, number: int) -> None:
        """
        So many copies more, each of a buyer of its own; ready to sell on when this returns.

        Raises:
            TimeoutError
        """
        if not number:
            return
        booking = self._settled()
        mail = self._mails.find_one({"booking_id": booking["_id"], "kind": "confirmation"})
        assert mail is not None
        copies = (_copy(booking, FIRST + unit) for unit in range(self._stored, self._stored + number))
        while some := list(islice(copies, AT_ONCE)):
            self._bookings.insert_many(some, ordered=False)
            self._mails.insert_many([_mail_of(copy, mail) for copy in some], ordered=False)
        self._stored += number
        self._mongo.admin.command("fsync")  # or the writing of copies would be measured, too
        self._count()

    def _settled(self) -> Document:
        """The concert's first booking, once everything has been done about it, its mail too."""
        wanted = {"concert_id": self.concert_id, "confirmation_mail.state": "sent", "outbox": []}
        deadline = time.monotonic() + PATIENCE
        while (found := self._bookings.find_one(wanted, sort=[("confirmed_at", 1)])) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no confirmation was sent within {PATIENCE} s")
            time.sleep(0.2)
        return found

    def _count(self) -> None:
        """Have Redis count the concert anew, as after a loss."""
        for key in self._redis.scan_iter(match=f"{concert_key(self.concert_id)}:*", count=1000):
            self._redis.unlink(key)
        deadline = time.monotonic() + PATIENCE
        while httpx.get(f"{self._api_url}/v1/concerts/{self.concert_id}/availability", timeout=10).status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the concert was not counted within {PATIENCE} s")
            time.sleep(0.2)


def _copy(booking: Document, unit: int) -> Document:
    user_id, key = secrets.token_hex(12), secrets.token_hex(16)
    booking_id = domain.booking_id(user_id, key)
    (ticket,) = booking["tickets"]
    return {
        **booking,
        "_id": booking_id,
        "user_id": user_id,
        "idempotency_key": key,
        "reference": domain.reference(booking_id),
        "claims": [f"unit:{ticket['ticket_type']}:{unit}", f"buyer:{user_id}:1"],
        "tickets": [{**ticket, "code": secrets.token_urlsafe(16)}],
        "confirmed_at": booking["confirmed_at"] - timedelta(milliseconds=unit),
    }


def _mail_of(booking: Document, mail: Document) -> Document:
    about = booking["_id"]
    message_id = f"<{about}.{mail['kind']}@{mail['message_id'].rpartition('@')[2]}"
    return {**mail, "_id": f"{about}:{mail['kind']}", "booking_id": about, "message_id": message_id}
