"""
Counts: what MongoDB knows to be sold, brought to Redis, while selling goes on.

One process at a time counts a concert. What changes hands meanwhile is written to a journal, so that the count is right
at the moment it is put in force. A large concert is brought in pieces; putting it in force is one short script.
"""

import json
import secrets
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import RedisError

from booking_svc import marks
from booking_svc.marks import mark_of
from booking_svc.offer import Offer, Taken, Unit
from booking_svc.scripts import HoldRecord, Scripts, concert_key, taken_in
from rabbitmq.times import from_wire

T = TypeVar("T")

# All in milliseconds.
#: Who counts and is not heard of for so long has died. Shorter than anybody waits for a count (stocktake.PATIENCE).
LEASE = 2_000
#: What a count that was never put in force leaves behind vanishes by itself.
STAGED = 60_000
#: A concert is kept so long after its sales have closed; who asks later has it counted again.
KEPT = 7 * 86_400_000
#: After a loss of Redis all is counted again so much later: no write that began before is still under way then.
SETTLING = 15_000
#: So long "sold out" is answered by the last count; after a count that took long, for fifty times that.
TRUSTED = 60_000
TRUSTED_PER_COST = 50
#: But never longer than this.
TRUSTED_AT_MOST = 300_000

#: Between two signs of life.
BEAT = 500

#: Buyers brought in one command; holds asked for in one; what is counted between two signs of life.
BUYERS_AT_ONCE, HOLDS_AT_ONCE, COUNTED_AT_ONCE = 1000, 500, 5000

#: Who owns which claims, as MongoDB knows it.
Sold = Iterable[tuple[str, Sequence[str]]]


class Count(NamedTuple):
    """A count under way."""

    concert_id: str
    token: str
    begun: int  #: ms since 1970, by Redis' clock


class Counts:
    """Counts in one Redis."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis = scripts.redis

    def begin(self, concert_id: str) -> Count | None:
        """The count, to be loaded or ended; None when another process is at it."""
        token = secrets.token_hex(8)
        answer = self._scripts.run("begin_count", concert_id, token, LEASE, STAGED)
        if answer[0] == b"busy":
            return None
        return Count(concert_id, token, int(answer[1]))

    def is_running(self, concert_id: str) -> bool:
        """Whether some process counts the concert now."""
        return bool(self._scripts.run("is_counting", concert_id)[0] == b"busy")

    def end(self, count: Count) -> None:
        """Let others count; after a `load` that succeeded, or when others do already, there is nothing to end."""
        self._scripts.run("end_count", count.concert_id, count.token)

    def load(self, count: Count, offer: Offer, sold: Sold) -> bool:
        """
        Put *offer* in force, with what is *sold* by MongoDB's word, read after the count began, and what is held.

        Returns:
            False if the count is void: Redis was emptied meanwhile, or took us for dead. Count again.
        """
        held, lost = self._holds(count)  # before what is sold: what was booked since is a hold no more
        tally = Tally(offer)
        for booking_id, claims in self._with_signs_of_life(count, sold):
            tally.add_booking(booking_id, claims)
        lost += [hold for hold in self._with_signs_of_life(count, held) if not tally.add_hold(json.loads(hold))]
        staged = self._stage(count, tally)
        terms, opens = offer.terms, offer.terms["sales_open_at"]
        to_load = {
            "token": count.token,
            "begun": count.begun,
            "trust": TRUSTED,
            "trust_per_cost": TRUSTED_PER_COST,
            "trust_at_most": TRUSTED_AT_MOST,
            "settling": SETTLING,
            "kept": KEPT,
            "version": offer.version,
            "opens": 0 if opens is None else _milliseconds(opens),
            "closes": _milliseconds(terms["sales_close_at"]),
            "status": terms["status"],
            "limit": terms["max_tickets_per_user"],
            "types": {
                code: {"capacity": t["capacity"], "bound": tally.bound[code], "price": t["price"]}
                for code, t in offer.types.items()
            },
            "staged": staged,
            "lost": [[hold["mark"], hold["born"]] for hold in map(json.loads, lost)],
        }
        return bool(self._scripts.run("load", count.concert_id, json.dumps(to_load))[0] == b"loaded")

    @contextmanager
    def alive(self, count: Count) -> Iterator[None]:
        """While this lasts the count is not taken for dead, however long MongoDB takes for an answer."""
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(BEAT / 1000):
                try:
                    self._live(count)
                except RedisError:
                    pass  # who counts finds out

        heart = threading.Thread(target=beat, name=f"count of {count.concert_id}", daemon=True)
        heart.start()
        try:
            yield
        finally:
            is_over.set()
            heart.join()

    def _holds(self, count: Count) -> tuple[list[bytes], list[bytes]]:
        """The holds that own all that they took, and those that have lost something of it, as Redis keeps them."""
        held: list[bytes] = []
        lost: list[bytes] = []
        cursor = b"0"
        while True:
            _, cursor, more_held, more_lost = self._scripts.run("scan_holds", count.concert_id, cursor, HOLDS_AT_ONCE)
            self._live(count)
            held += more_held
            lost += more_lost
            if cursor == b"0":
                return list(dict.fromkeys(held)), lost  # a scan may meet a hold twice

    def _stage(self, count: Count, tally: "Tally") -> list[str]:
        """Bring the tally, in pieces, under keys that nobody else reads yet; returns their names."""
        texts = tally.texts()
        for name, text in texts.items():
            self._redis.set(self._staged(count, name), bytes(text), px=STAGED)
            self._live(count)
        buyers = [("-", b""), *tally.buyers.items()]  # the first, so that the key is there when nobody has bought
        for start in range(0, len(buyers), BUYERS_AT_ONCE):
            some: dict[Any, Any] = {buyer: bytes(slots) for buyer, slots in buyers[start : start + BUYERS_AT_ONCE]}
            with self._redis.pipeline(transaction=True) as pipe:  # nothing may be left of us for ever
                pipe.hset(self._staged(count, "buyers"), mapping=some)
                pipe.pexpire(self._staged(count, "buyers"), STAGED)
                pipe.execute()
            self._live(count)
        return ["buyers", *texts]

    def _staged(self, count: Count, name: str) -> str:
        return concert_key(count.concert_id, "staged", count.token, name)

    def _with_signs_of_life(self, count: Count, counted: Iterable[T]) -> Iterator[T]:
        """Each of them; where nothing is waited for, `alive` has no turn."""
        for number, one in enumerate(counted, start=1):
            yield one
            if number % COUNTED_AT_ONCE == 0:
                self._live(count)

    def _live(self, count: Count) -> None:
        """We are not dead, unless we have been taken for it."""
        self._scripts.run("keep_counting", count.concert_id, count.token, LEASE, STAGED)


class Tally:
    """Who owns what, in the form that Redis keeps it (see lua/inventory.lua)."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self.buyers: dict[str, bytearray] = {}
        self.bound: dict[str, int] = {}
        self._owners: dict[str, bytearray] = {}
        for code, ticket_type in offer.types.items():
            seats = offer.plans[code].size if code in offer.plans else 0
            self.bound[code] = seats or ticket_type["capacity"]
            self._owners[code] = bytearray(marks.ORIGIN) + marks.NOBODY * seats
            for number in offer.blocked(code):
                _put_mark(self._owners[code], number, marks.BLOCKED)

    def add_booking(self, booking_id: str, claims: Sequence[str]) -> None:
        """The booking owns *claims*."""
        self._add(mark_of(booking_id).encode(), self._offer.taken_by(claims))

    def add_hold(self, hold: HoldRecord) -> bool:
        """The hold owns what it has; False: it is lost, since something of it is sold, or not offered any more."""
        taken, mark = taken_in(hold), str(hold.get("booking_mark") or hold["mark"]).encode()
        slots = self.buyers.get(taken.buyer, b"")
        if not all(self._is_offered(unit) for unit in taken.units):
            return False
        owners = [_mark_at(slots, slot - 1) for slot in taken.slots]
        owners += [_mark_at(self._owners[code], number) for code, number in taken.units]
        if not all(owner in (mark, b"", marks.NOBODY) for owner in owners):
            return False
        self._add(mark, taken)
        return True

    def _is_offered(self, unit: Unit) -> bool:
        code, number = unit
        return code in self._owners and (code not in self._offer.plans or number <= self.bound[code])

    def _add(self, mark: bytes, taken: Taken) -> None:
        slots = self.buyers.setdefault(taken.buyer, bytearray())
        for slot in taken.slots:
            _put_mark(slots, slot - 1, mark)
        for code, number in taken.units:
            _put_mark(self._owners[code], number, mark)

    def texts(self) -> dict[str, bytes | bytearray]:
        """The texts and bitmaps by their keys."""
        texts: dict[str, bytes | bytearray] = {}
        for code, owners in self._owners.items():
            texts[f"owners:{code}"] = owners
            units = len(owners) // marks.SIZE
            taken = (number for number, mark in enumerate(struct.unpack(f"{units}Q", owners)) if mark)
            texts[f"taken:{code}"] = _bitmap(units, taken)
            if code in self._offer.plans:
                firsts = [*(row.first for row in self._offer.plans[code].rows), self.bound[code] + 1]
                texts[f"rows:{code}"] = b"".join(b"%07d" % first for first in firsts)
                for name, seats in (
                    ("accessible", self._offer.accessible(code)),
                    ("blocked", self._offer.blocked(code)),
                ):
                    if seats:
                        texts[f"{name}:{code}"] = _bitmap(self.bound[code] + 1, seats)
        return texts


def _mark_at(text: bytes | bytearray, position: int) -> bytes:
    """The mark there; nothing past the end."""
    return bytes(text[position * marks.SIZE : (position + 1) * marks.SIZE])


def _put_mark(text: bytearray, position: int, mark: bytes) -> None:
    start, end = position * marks.SIZE, (position + 1) * marks.SIZE
    if len(text) < end:
        text.extend(bytes(end - len(text)))
    text[start:end] = mark


def _bitmap(size: int, numbers: Iterable[int]) -> bytearray:
    bits = bytearray(size // 8 + 1)
    for number in numbers:
        bits[number >> 3] |= 128 >> (number & 7)
    return bits


def _milliseconds(wire: str) -> int:
    return round(from_wire(wire).timestamp() * 1000)
