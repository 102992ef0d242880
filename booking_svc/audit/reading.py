"""Reads what the audit checks: a concert's bookings from MongoDB, its inventory from Redis in one transaction."""

import json
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pymongo.database import Database
from redis import Redis

from booking_svc import marks
from booking_svc.audit import checks
from booking_svc.audit.checks import Breach, HoldInRedis, InRedis
from booking_svc.bookings import SETTLED
from booking_svc.cuts import capped
from booking_svc.offer import Offer, Unit
from booking_svc.scripts import concert_key, taken_in
from booking_svc.terms import versions
from rabbitmq.database import Document

#: Seconds between two readings, and how many of them must find the same before it is a breach. A booking is told to
#: Redis within milliseconds, and to the mailer within seconds.
PAUSE, READINGS = 1.0, 4


class Audit:
    """
    The audit of a running system.

    *bookings* is booking_svc's database, *mails* the mailer's, which no service would read but an operator may.
    """

    def __init__(
        self, bookings: Database[Document], mails: Database[Document], redis: Redis, pause: float = PAUSE
    ) -> None:
        self._bookings = bookings["bookings"]
        self._terms = bookings["terms"]
        self._rollouts = bookings["rollouts"]
        self._ledger = mails["ledger"]
        self._redis = redis
        self._pause = pause

    def concerts(self) -> list[str]:
        """The ids of all concerts that were ever on sale."""
        sold: list[str] = self._bookings.distinct("concert_id", {"status": {"$in": SETTLED}})
        return sorted({*(found["_id"] for found in self._terms.find({}, {"_id": 1})), *sold})

    def concert(self, concert_id: str) -> set[Breach]:
        """The breaches that every reading of the concert finds."""
        return self._in_every_reading(lambda: self._read_concert(concert_id))

    def tickets_and_mails(self) -> set[Breach]:
        """The breaches among all tickets, and among the mails."""
        return self._in_every_reading(self._read_codes) | self._in_every_reading(self._read_mails)

    def _in_every_reading(self, read: Callable[[], Iterable[Breach]]) -> set[Breach]:
        suspects = set(read())
        for _ in range(READINGS - 1):
            if not suspects:
                break
            time.sleep(self._pause)
            suspects &= set(read())
        return suspects

    def _read_concert(self, concert_id: str) -> Iterator[Breach]:
        terms = self._terms.find_one({"_id": concert_id})
        if terms is None:
            yield Breach("whole", concert_id, "bookings, but no terms by which they could have been sold")
            return
        offer = Offer(terms["terms"])
        redis = self._read_redis(offer)
        booked = list(self._bookings.find({"concert_id": concert_id, "status": {"$in": SETTLED}}, {"outbox": 0}))
        called_off = self._rollouts.find_one({"concert_id": concert_id, "kind": "cancellation", "state": "done"})
        proposed = terms.get("proposed")
        undecided = Offer(capped(terms["terms"], proposed)) if proposed else None
        yield from checks.concert(offer, booked, redis, versions(terms), called_off is not None, undecided)

    def _read_redis(self, offer: Offer) -> InRedis | None:
        codes = list(offer.types)
        with self._redis.pipeline(transaction=True) as pipe:
            for kind in ("terms", "holds", "buyers"):
                pipe.hgetall(concert_key(offer.concert_id, kind))
            for code in codes:
                pipe.get(concert_key(offer.concert_id, "owners", code))
                pipe.get(concert_key(offer.concert_id, "taken", code))
            pipe.zrange(concert_key(offer.concert_id, "expiries"), 0, -1, withscores=True)
            pipe.time()
            pipe.info("server")
            terms, holds, buyers, *texts, expiries, (seconds, microseconds), server = pipe.execute()
        ours = terms.get(b"run", b"").decode() == server["run_id"]
        if not ours or not all(texts) or not buyers or len(holds) != len(expiries):  # as is_loaded in inventory.lua
            return None
        now = seconds * 1000 + microseconds // 1000
        owners: dict[Unit, str] = {}
        bits: dict[str, set[int]] = {}
        for code, owned, bitmap in zip(codes, texts[::2], texts[1::2], strict=True):
            owners |= {Unit(code, n): mark for n, mark in _marks(owned) if mark != marks.BLOCKED.decode()}
            bits[code] = {n for n in range(1, len(bitmap) * 8) if bitmap[n // 8] & (128 >> n % 8)}
        slots = {(b.decode(), n + 1): mark for b, owned in buyers.items() for n, mark in _marks(owned)}
        ends = dict(expiries)
        return InRedis(
            owners, bits, slots, [_hold(json.loads(text), now, ends) for text in holds.values() if text], _told(terms)
        )

    def _read_codes(self) -> Iterator[Breach]:
        found = self._bookings.find({"status": {"$in": SETTLED}}, {"tickets.code": 1})
        return checks.codes((ticket["code"], booking["_id"]) for booking in found for ticket in booking["tickets"])

    def _read_mails(self) -> Iterator[Breach]:
        found = self._bookings.find({"status": {"$in": SETTLED}}, {"confirmation_mail.state": 1})
        states = {booking["_id"]: booking["confirmation_mail"]["state"] for booking in found}
        return checks.mails(self._ledger.find({"kind": {"$regex": "^(confirmation$|resend-)"}}), states)


def _marks(text: bytes) -> Iterator[tuple[int, str]]:
    """The marks in a text of owners, with their places."""
    for number, (mark,) in enumerate(struct.iter_unpack(f"{marks.SIZE}s", text)):
        if mark not in (marks.NOBODY, marks.ORIGIN):
            yield number, mark.decode()


def _told(terms: dict[bytes, bytes]) -> dict[str, Any]:
    """The terms as `checks.terms_told` has them."""
    told: dict[str, Any] = {"status": terms[b"status"].decode()}
    told |= {name: int(terms[name.encode()]) for name in ("version", "limit", "opens", "closes")}
    for name, text in terms.items():
        if name.startswith(b"type:"):
            offered = json.loads(text)
            told[name.decode()] = (offered["capacity"], offered["price"])
    return told


def _hold(record: dict[str, Any], now: int, listed: dict[bytes, float]) -> HoldInRedis:
    booking_id = record.get("booking")
    ends = record["doubt_at"] if booking_id else record["expires"]
    is_listed = listed.get(record["mark"].encode()) == ends
    return HoldInRedis(record["mark"], taken_in(record), ends <= now, booking_id, record.get("booking_mark"), is_listed)
