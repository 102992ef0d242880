"""
The inventory's scripts: the only module that loads lua/, and the one place where their answers become errors.

Each script works on one concert, whose keys share a hash slot; lua/inventory.lua lists them.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError, RedisError, ResponseError

from booking_svc.contract import (
    REFUSE_HOLD,
    CapacityBelowSold,
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
from booking_svc.offer import Taken, Unit
from rabbitmq.redis_trips import RedisTrips

log = logging.getLogger(__name__)

LUA = Path(__file__).parent / "lua"
#: What stands in front of each script.
SHARED = ("inventory", "best_seats")
#: What others may run by its name. Redis keeps functions, unlike scripts, and lets who may only call them load none.
FUNCTION = """#!lua name=inventory
redis.register_function{{function_name = '{name}', flags = {{'no-writes'}}, callback = function(KEYS, ARGV)
{text}
end}}
"""
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
    b"capacity_below_sold": CapacityBelowSold,
}


#: A hold as place_hold.lua keeps it.
HoldRecord = dict[str, Any]


class Doubt(NamedTuple):
    """A hold that somebody began to book and nobody works at any more."""

    mark: str
    booking_id: str
    taken: Taken
    of_hold: tuple[str, int] | None  #: the mark and the birth of the buyer's hold; None: held for the booking alone


class NotLoaded(Exception):
    """Redis does not have the concert as it was loaded: emptied, restarted or never asked. Count it and ask again."""


class CountDue(Exception):
    """Before this is answered the concert is to be counted again in MongoDB."""


class InDoubt(Exception):
    """Nobody works any more at booking these holds; MongoDB knows whether they are sold. Resolve them and ask again."""

    def __init__(self, doubts: Sequence[Doubt]) -> None:
        super().__init__(doubts)
        self.doubts = doubts


class SeatsTaken(Exception):
    """Some of the seats asked for by name are not free."""

    def __init__(self, units: Sequence[Unit]) -> None:
        super().__init__(units)
        self.units = units


def concert_key(concert_id: str, *parts: str) -> str:
    """The key of a concert called `parts` in lua/inventory.lua; just its hash tag without them."""
    return ":".join((f"{{{concert_id}}}", *parts))


def taken_in(hold: HoldRecord) -> Taken:
    """What the hold owns."""
    return Taken(hold["buyer"], hold["slots"], [Unit(code, number) for code, number in hold["units"]])


def _doubt(hold: HoldRecord) -> Doubt:
    of_hold = None if hold["mark"] == hold["booking_mark"] else (hold["mark"], hold["born"])
    return Doubt(hold["mark"], hold["booking"], taken_in(hold), of_hold)


class Scripts:
    """The scripts of lua/ in one Redis. Those who want to run one at the same time share a round trip."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        files = {path.stem: path.read_text() for path in LUA.glob("*.lua")}
        shared = "".join(files.pop(name) for name in SHARED)
        self._scripts = {name: redis.register_script(shared + text) for name, text in files.items()}
        self._function = FUNCTION.format(name=REFUSE_HOLD, text=shared + files[REFUSE_HOLD])
        self._has_published = False
        self._trips = RedisTrips(redis)

    def run(self, name: str, concert_id: str, *arguments: Any) -> list[Any]:
        """
        What lua/*name*.lua answers.

        Raises:
            NotLoaded, CountDue, InDoubt: the concert needs something first.
            SeatsTaken, or a refusal of the contract: nothing was changed.
        """
        while True:
            answer = self._run(self._scripts[name], concert_key(concert_id), arguments)
            word = answer[0]
            if word in REFUSALS:
                raise REFUSALS[word](*(text.decode() for text in answer[1:]))
            if word == b"tickets_unavailable":
                raise SeatsTaken([Unit(code, number) for code, number in json.loads(answer[1])])
            if word == b"not_loaded":
                raise NotLoaded(concert_id)
            if word == b"count_due":
                raise CountDue(concert_id)
            if word == b"in_doubt":
                raise InDoubt([_doubt(hold) for hold in json.loads(answer[1])])
            if word != b"again":  # more holds have expired than one script frees
                return list(answer)

    def _run(self, script: Script, key: str, arguments: Sequence[Any]) -> Any:
        command = ("EVALSHA", script.sha, 1, key, *arguments)
        try:
            [answer] = self._trips.ask(command)
        except NoScriptError:  # Redis was started again, and has done nothing
            self.redis.script_load(script.script)
            self._publish()
            [answer] = self._trips.ask(command)
        if not self._has_published:  # an older version of ourselves may have published another
            self._publish()
        return answer

    def _publish(self) -> None:
        """Let others call what they may. What we do ourselves does not depend on it."""
        try:
            self.redis.function_load(self._function, replace=True)
        except ResponseError as error:
            log.warning("nobody but us can ask the inventory: %s", error)
        except RedisError:
            return  # the next one publishes it
        self._has_published = True
