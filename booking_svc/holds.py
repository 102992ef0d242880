"""
Holds: the Redis locks on units and on a buyer's slots.

Redis admits quickly and forgets safely: MongoDB's unique index decides. What the scripts in lua/ keep is theirs;
here it has the shape that the rest of the service knows.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from booking_svc.contract import Availability, Item, Money, TicketTypeAvailability
from booking_svc.offer import Taken, Unit, Wanted
from booking_svc.scripts import BLOCKED, MARK, NOBODY, HoldRecord, Scripts, mark_of
from rabbitmq.times import to_wire, to_wire_or_none

# All in milliseconds.
#: How long a buyer's hold lasts, and how long it can be made to last.
LIFE, LONGEST = 600_000, 1_800_000
#: A booking being written keeps its tickets so long: longer than any write takes.
WRITING = 10_000
#: So long a request with the same key is told to wait, and not to take over: longer than MongoDB may be silent.
BUSY = 3_000


class Request(NamedTuple):
    """What a buyer asks of the inventory. The *fingerprint* tells another request with the same owner."""

    buyer: str
    items: Sequence[Item]
    wanted: Sequence[Wanted]
    fingerprint: str


@dataclass(frozen=True)
class Hold:
    """Tickets kept for one owner; *version* says which terms are in force."""

    version: int
    taken: Taken
    items: list[Item]
    prices: dict[str, Money]
    expires_at: datetime


class Doubt(NamedTuple):
    """A hold that somebody began to book and nobody works at any more."""

    mark: str
    booking_id: str
    taken: Taken


class SeatStates(NamedTuple):
    """A letter of `contract.SEAT_STATES` for each seat of a ticket type, by its number."""

    tag: str
    version: int  #: of the terms in force
    letters: dict[str, str] | None  #: None: still as they were when the tag was the one that the caller knows


class Holds:
    """The inventory of every concert in one Redis. Each question may also raise what `Scripts.run` raises."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def place(self, concert_id: str, owner: str, request: Request, life: int = LIFE) -> Hold:
        """
        Keep every ticket that is wanted, and as many of the buyer's slots, or nothing.

        The same owner's request, repeated, is answered by the same hold.

        Raises:
            ConcertCancelled, NotOnSaleYet, SalesClosed, SoldOut, SeatsTaken, LimitReached, UnknownTicketType,
            IdempotencyKeyReused: nothing was changed.
        """
        return self._place(concert_id, request, {"mark": mark_of(owner), "life": life})

    def place_for_booking(
        self, concert_id: str, booking_id: str, request: Request, resumed: bool = False, life: int = WRITING
    ) -> Hold:
        """
        Keep them while the booking is written; *resumed* takes over from a request that ended in the middle.

        Raises:
            RequestInProgress: a request for this booking is at work.
            and what `place` raises.
        """
        booking = {"booking": booking_id, "busy": BUSY, "resumed": resumed}
        return self._place(concert_id, request, {"mark": mark_of(booking_id), "life": life, **booking})

    def _place(self, concert_id: str, request: Request, more: dict[str, Any]) -> Hold:
        asked = {**request._asdict(), "items": json.dumps(request.items), **more}
        return _hold(self._scripts.run("place_hold", concert_id, json.dumps(asked)))

    def begin_booking(
        self, concert_id: str, hold_id: str, buyer: str, booking_id: str, resumed: bool = False, life: int = WRITING
    ) -> Hold:
        """
        Let the booking be written from the buyer's hold, which meanwhile neither expires nor is released.

        Raises:
            HoldExpired, RequestInProgress, SalesClosed, ConcertCancelled
        """
        booking = (booking_id, mark_of(booking_id), life, BUSY, int(resumed))
        return _hold(self._scripts.run("begin_booking", concert_id, mark_of(hold_id), buyer, *booking))

    def find(self, concert_id: str, hold_id: str, buyer: str) -> Hold:
        """
        Raises:
            HoldExpired
        """
        return _hold(self._scripts.run("find_hold", concert_id, mark_of(hold_id), buyer))

    def extend(self, concert_id: str, hold_id: str, buyer: str, life: int = LIFE, longest: int = LONGEST) -> Hold:
        """
        Keep it for *life* from now, but no longer than *longest* in all, and not past the close of sales.

        Raises:
            HoldExpired, RequestInProgress, SalesClosed, ConcertCancelled
        """
        return _hold(self._scripts.run("extend_hold", concert_id, mark_of(hold_id), buyer, life, longest))

    def release_hold(self, concert_id: str, hold_id: str, buyer: str) -> None:
        """
        Free what the buyer holds; repeating it changes nothing.

        Raises:
            RequestInProgress
        """
        self._scripts.run("release_hold", concert_id, mark_of(hold_id), buyer)

    def settle(self, concert_id: str, booking_id: str, hold_id: str | None = None) -> bool:
        """
        The booking is written: what was held for it, or by *hold_id*, is sold.

        Returns:
            False if there is no such hold any more: it has expired, Redis lost it, or the booking is cancelled.
        """
        answer = self._scripts.run("settle", concert_id, mark_of(hold_id or booking_id), booking_id)
        return bool(answer[0] == b"settled")

    def release(self, concert_id: str, booking_id: str, taken: Taken, hold_id: str | None = None) -> None:
        """Free what is still the booking's of *taken*, held for it or sold; repeating it changes nothing."""
        ends = mark_of(hold_id or booking_id)
        self._scripts.run("release", concert_id, mark_of(booking_id), json.dumps(taken._asdict()), ends)

    def mark_sold(self, concert_id: str, booking_id: str, taken: Taken, hold_mark: str | None = None) -> None:
        """MongoDB says that the booking owns *taken*; whoever holds it loses it, and the hold it came from ends."""
        ends = hold_mark or mark_of(booking_id)
        self._scripts.run("mark_sold", concert_id, mark_of(booking_id), json.dumps(taken._asdict()), ends)

    def abandon(self, concert_id: str, doubt: Doubt) -> None:
        """MongoDB does not have the booking: the hold is its buyer's again, or free."""
        self._scripts.run("abandon_booking", concert_id, doubt.mark, doubt.booking_id)

    def availability(self, concert_id: str) -> Availability:
        """What a reader sees."""
        answer = json.loads(self._scripts.run("availability", concert_id)[1])
        now, opens, closes = answer["now"], answer["opens"], answer["closes"]
        return Availability(
            ticket_types=[
                TicketTypeAvailability(code=code, capacity=capacity, available=available)
                for code, (capacity, available) in sorted(answer["types"].items())
            ],
            sales={
                "open": answer["status"] == "on_sale" and opens <= now < closes,
                "sales_open_at": to_wire_or_none(_moment(opens) if opens else None),
                "sales_close_at": to_wire(_moment(closes)),
            },
        )

    def seats(self, concert_id: str, sizes: dict[str, int], known: str | None) -> SeatStates:
        """The state of each seat of the types in *sizes*, ticket type -> number of seats."""
        answer = self._scripts.run("seats", concert_id, known or "", *sizes)
        tag, version = answer[1].decode(), int(answer[2])
        if answer[0] == b"unchanged":
            return SeatStates(tag, version, None)
        held = dict.fromkeys(map(_number, answer[3]), "h")
        letters = {**held, _number(NOBODY): "a", _number(BLOCKED): "x"}
        states = {}
        for (code, size), owners in zip(sizes.items(), answer[4:], strict=True):
            marks = struct.unpack_from(f"{size}Q", owners.ljust((size + 1) * MARK, b"\0"), MARK)
            states[code] = "".join([letters.get(mark, "b") for mark in marks])
        return SeatStates(tag, version, states)


def doubt(record: HoldRecord) -> Doubt:
    """What is to be found out of a hold that `InDoubt` names."""
    return Doubt(record["mark"], record["booking"], _taken(record))


def _hold(answer: list[bytes]) -> Hold:
    record = json.loads(answer[1])
    return Hold(
        version=int(answer[2]),
        taken=_taken(record),
        items=json.loads(record["items"]),
        prices=record["prices"],
        expires_at=_moment(record["expires"]),
    )


def _taken(record: HoldRecord) -> Taken:
    return Taken(record["buyer"], record["slots"], [Unit(code, number) for code, number in record["units"]])


def _number(mark: bytes) -> int:
    """A mark as a number, which is compared faster."""
    return int(struct.unpack("Q", mark.ljust(MARK, b"\0"))[0])


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
