"""
The inventory's scripts: the only module that loads lua/, and the one place where their answers become errors.

Each script works on one concert, whose keys share a hash slot; lua/inventory.lua lists them.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from booking_svc.contract import (
    ConcertCancelled,
    HoldExpired,
    IdempotencyKeyReused,
    LimitReached,
    NotOnSaleYet,
    Refusal,
    RequestInProgress,
    SalesClosed,
    SoldOut,
    UnknownTicketType,
)

LUA = Path(__file__).parent / "lua"
#: What stands in front of a script: for all of them, and for one.
SHARED, SEATED = "inventory", {"place_hold": "best_seats"}
REFUSALS: dict[bytes, type[Refusal]] = {
    b"concert_cancelled": ConcertCancelled,
    b"not_on_sale_yet": NotOnSaleYet,
    b"sales_closed": SalesClosed,
    b"in_progress": RequestInProgress,
    b"key_reused": IdempotencyKeyReused,
    b"hold_expired": HoldExpired,
    b"limit_reached": LimitReached,
    b"sold_out": SoldOut,
    b"unknown_ticket_type": UnknownTicketType,
}


#: Bytes of a mark, and the marks of units that nobody owns: the one of a free unit, of unit 0, of a seat never sold.
MARK, NOBODY, ORIGIN, BLOCKED = 8, bytes(8), b"........", b"blocked!"
#: A hold as the scripts keep it; place_hold.lua says what is in it.
HoldRecord = dict[str, Any]


class NotLoaded(Exception):
    """Redis does not have the concert as it was loaded: emptied, restarted or never asked. Count it and ask again."""


class CountDue(Exception):
    """Before this is answered the concert is to be counted again in MongoDB."""


class InDoubt(Exception):
    """Nobody works any more at booking these holds; MongoDB knows whether they are sold. Resolve them and ask again."""

    def __init__(self, holds: list[HoldRecord]) -> None:
        super().__init__(holds)
        self.holds = holds


class SeatsTaken(Exception):
    """Some of the seats asked for by name are not free, as (ticket type, number)."""

    def __init__(self, units: list[tuple[str, int]]) -> None:
        super().__init__(units)
        self.units = units


def connect(url: str) -> Redis:
    """
    A client that never repeats a command by itself and gives up within half a second.

    redis-py repeats up to ten times by default; a script that ran twice would hold twice.
    """
    return Redis.from_url(
        url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0), health_check_interval=0
    )


def mark_of(owner: str) -> str:
    """How the inventory calls a hold or booking: 48 bits of its id's hash, which tell the owners of a concert apart."""
    return base64.urlsafe_b64encode(hashlib.blake2b(owner.encode(), digest_size=6).digest()).decode()


def concert_key(concert_id: str, *parts: str) -> str:
    """The key of a concert called `parts` in lua/inventory.lua; just its hash tag without them."""
    return ":".join((f"{{{concert_id}}}", *parts))


class Scripts:
    """The scripts of lua/ in one Redis."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        files = {path.stem: path.read_text() for path in LUA.glob("*.lua")}
        self._scripts = {
            name: redis.register_script(files[SHARED] + files.get(SEATED.get(name, ""), "") + text)
            for name, text in files.items()
            if name not in (SHARED, *SEATED.values())
        }

    def run(self, name: str, concert_id: str, *arguments: Any) -> list[Any]:
        """
        What lua/*name*.lua answers.

        Raises:
            NotLoaded, CountDue, InDoubt: the concert needs something first.
            SeatsTaken, or a refusal of the contract: nothing was changed.
        """
        while True:
            answer = self._scripts[name](keys=[concert_key(concert_id)], args=arguments)
            word = answer[0]
            if word in REFUSALS:
                raise REFUSALS[word](*(text.decode() for text in answer[1:]))
            if word == b"tickets_unavailable":
                raise SeatsTaken([(code, number) for code, number in json.loads(answer[1])])
            if word == b"not_loaded":
                raise NotLoaded(concert_id)
            if word == b"count_due":
                raise CountDue(concert_id)
            if word == b"in_doubt":
                raise InDoubt(json.loads(answer[1]))
            if word != b"again":  # more holds have expired than one script frees
                return list(answer)
