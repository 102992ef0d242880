"""
Holds: the Redis locks on units and on a buyer's slots. The only module that loads lua/.

Redis admits quickly and forgets safely: MongoDB's unique index decides. Each script works on one concert,
whose keys share a hash slot; lua/inventory.lua lists them.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from booking_svc.contract import (
    Availability,
    ConcertCancelled,
    LimitReached,
    NotOnSaleYet,
    Refusal,
    RequestInProgress,
    SalesClosed,
    SalesTerms,
    SoldOut,
    TicketTypeAvailability,
    UnknownTicketType,
)
from rabbitmq.times import from_wire, to_wire, to_wire_or_none

#: Milliseconds a booking being written keeps its tickets: longer than any write takes, then they are free again.
WRITING = 10_000
#: Seconds one process may take to load a concert, and another waits for it.
LOADING = 3.0

LUA = Path(__file__).parent / "lua"
REFUSALS: dict[bytes, type[Refusal]] = {
    b"concert_cancelled": ConcertCancelled,
    b"not_on_sale_yet": NotOnSaleYet,
    b"sales_closed": SalesClosed,
    b"in_progress": RequestInProgress,
    b"limit_reached": LimitReached,
    b"sold_out": SoldOut,
    b"unknown_ticket_type": UnknownTicketType,
}

#: Who owns which claims, as MongoDB knows it.
Sold = Iterable[tuple[str, Sequence[str]]]


class NotLoaded(Exception):
    """Redis knows no terms for the concert: it was emptied, or never asked. Load it and ask again."""


class Hold(NamedTuple):
    """Claims locked for one owner; *version* says by which terms."""

    version: int
    claims: list[str]


def connect(url: str) -> Redis:
    """
    A client that never repeats a command by itself and gives up within half a second.

    redis-py repeats up to ten times by default; a script that ran twice would hold twice.
    """
    return Redis.from_url(
        url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0), health_check_interval=0
    )


class Holds:
    """The inventory of every concert in one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        shared = (LUA / "inventory.lua").read_text()
        self._scripts = {
            path.stem: redis.register_script(shared + path.read_text())
            for path in LUA.glob("*.lua")
            if path.stem != "inventory"
        }

    def place(self, concert_id: str, owner: str, buyer: str, quantities: dict[str, int], life: int = WRITING) -> Hold:
        """
        Take every ticket of *quantities* (ticket type -> number) and as many of the buyer's slots, or nothing.

        *life* is in milliseconds; after it the tickets are free.

        Raises:
            NotLoaded: see `load`.
            ConcertCancelled, NotOnSaleYet, SalesClosed, SoldOut, LimitReached, UnknownTicketType: nothing was taken.
            RequestInProgress: the owner holds tickets already.
        """
        asked = [part for code, quantity in quantities.items() for part in (code, quantity)]
        answer = self._run("place_hold", concert_id, owner, buyer, life, *asked)
        if answer[0] == b"not_loaded":
            raise NotLoaded(concert_id)
        if answer[0] != b"held":
            raise REFUSALS[answer[0]]()
        return Hold(version=int(answer[1]), claims=json.loads(answer[2]))

    def settle(self, concert_id: str, owner: str) -> bool:
        """The booking is written, its tickets are sold. False: the hold had expired, and MongoDB tells the next one."""
        return bool(self._run("settle", concert_id, owner))

    def release(self, concert_id: str, owner: str, claims: Sequence[str]) -> None:
        """Free those of *claims* that are the owner's; repeating it changes nothing."""
        self._run("release", concert_id, owner, json.dumps(claims))

    def mark_sold(self, concert_id: str, owner: str, claims: Sequence[str]) -> None:
        """MongoDB says that *owner* has bought *claims*; whoever holds them here loses them."""
        self._run("mark_sold", concert_id, owner, json.dumps(claims))

    def load(self, terms: SalesTerms, sold: Sold) -> None:
        """Set the terms and recount what is taken: *sold* by MongoDB's word, and what is held here."""
        opens = terms["sales_open_at"]
        self._run(
            "load",
            terms["concert_id"],
            terms["version"],
            0 if opens is None else _milliseconds(opens),
            _milliseconds(terms["sales_close_at"]),
            terms["status"],
            terms["max_tickets_per_user"],
            json.dumps({t["code"]: t["capacity"] for t in terms["ticket_types"]}),
            json.dumps([[owner, list(claims)] for owner, claims in sold]),
        )

    def begin_loading(self, concert_id: str) -> bool:
        """Whether the caller is the one to load the concert now; others wait until it `is_loaded`."""
        return bool(self._redis.set(f"{{{concert_id}}}:loading", "1", nx=True, px=int(LOADING * 1000)))

    def end_loading(self, concert_id: str) -> None:
        self._redis.delete(f"{{{concert_id}}}:loading")

    def is_loaded(self, concert_id: str) -> bool:
        return bool(self._redis.exists(f"{{{concert_id}}}:terms"))

    def availability(self, concert_id: str) -> Availability:
        """
        What a reader sees.

        Raises:
            NotLoaded: see `load`.
        """
        answer = self._run("availability", concert_id)
        if not answer:
            raise NotLoaded(concert_id)
        now, opens, closes = int(answer[0]), int(answer[1]), int(answer[2])
        types = [
            TicketTypeAvailability(
                code=answer[i].decode(),
                capacity=int(answer[i + 1]),
                available=max(0, int(answer[i + 1]) - int(answer[i + 2])),
            )
            for i in range(4, len(answer), 3)
        ]
        return Availability(
            ticket_types=sorted(types, key=lambda t: t["code"]),
            sales={
                "open": answer[3] == b"on_sale" and opens <= now < closes,
                "sales_open_at": to_wire_or_none(_moment(opens) if opens else None),
                "sales_close_at": to_wire(_moment(closes)),
            },
        )

    def _run(self, script: str, concert_id: str, *arguments: Any) -> Any:
        return self._scripts[script](keys=[f"{{{concert_id}}}"], args=arguments)


def _milliseconds(wire: str) -> int:
    return round(from_wire(wire).timestamp() * 1000)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
