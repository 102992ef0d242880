"""
Holds: the Redis locks on units and on a buyer's slots.

Redis admits quickly and forgets safely: MongoDB's unique index decides. What the scripts in lua/ keep is theirs;
here it has the shape that the rest of the service knows.
"""

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from booking_svc import marks
from booking_svc.contract import Availability, Item, TicketTypeAvailability
from booking_svc.domain import Hold, HoldKey
from booking_svc.marks import mark_of
from booking_svc.offer import Taken, Wanted
from booking_svc.scripts import Scripts, taken_in
from rabbitmq.times import to_wire, to_wire_or_none

# All in milliseconds.
#: How long a buyer's hold lasts, and how long it can be made to last.
LIFE, LONGEST = 600_000, 1_800_000
#: A booking being written keeps its tickets so long: longer than any write takes.
WRITING = 10_000
#: So long a request with the same key is told to wait, and not to take over: longer than MongoDB may be silent.
BUSY = 3_000


class HoldRequest(NamedTuple):
    """What a buyer asks of the inventory. The *fingerprint* tells another request with the same owner."""

    buyer: str
    items: Sequence[Item]
    wanted: Sequence[Wanted]
    fingerprint: str


class SeatStates(NamedTuple):
    """A letter of `contract.SEAT_STATES` for each seat of a ticket type, by its number."""

    tag: str
    version: int  #: of the terms in force
    letters: dict[str, str] | None  #: None: still as they were when the tag was the one that the caller knows


class Holds:
    """The holds of every concert in one Redis. Each question may also raise what `Scripts.run` raises."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def place(self, concert_id: str, nonce: str, request: HoldRequest, life: int = LIFE) -> Hold:
        """
        Keep every ticket that is wanted, and as many of the buyer's slots, or nothing.

        The request, repeated with the same nonce, is answered by the same hold while it lasts.

        Raises:
            ConcertCancelled, NotOnSaleYet, SalesClosed, SoldOut, SeatsTaken, LimitReached, UnknownTicketType,
            IdempotencyKeyReused: nothing was changed.
        """
        return self._place(concert_id, request, {"mark": mark_of(nonce), "life": life})

    def place_for_booking(
        self, concert_id: str, booking_id: str, request: HoldRequest, redelivered: bool = False, life: int = WRITING
    ) -> Hold:
        """
        Keep them while the booking is written.

        *redelivered*: RabbitMQ took the request from a process that had it; do not wait for that one. If it still
        writes, both write the same document.

        Raises:
            RequestInProgress: a request for this booking is at work.
            and what `place` raises.
        """
        booking = {"booking": booking_id, "busy": BUSY, "redelivered": redelivered}
        return self._place(concert_id, request, {"mark": mark_of(booking_id), "life": life, **booking})

    def _place(self, concert_id: str, request: HoldRequest, more: dict[str, Any]) -> Hold:
        asked = {**request._asdict(), "items": json.dumps(request.items), **more}
        return _hold(self._scripts.run("place_hold", concert_id, json.dumps(asked)))

    def begin_booking(
        self, key: HoldKey, buyer: str, booking_id: str, redelivered: bool = False, life: int = WRITING
    ) -> Hold:
        """
        Let the booking be written from the buyer's hold, which meanwhile neither expires nor is released.

        Raises:
            HoldExpired, RequestInProgress, NotOnSaleYet, SalesClosed, ConcertCancelled
        """
        booking = (booking_id, mark_of(booking_id), life, BUSY, int(redelivered))
        return _hold(self._run_on("begin_booking", key, buyer, *booking))

    def find(self, key: HoldKey, buyer: str) -> Hold:
        """
        Raises:
            HoldExpired
        """
        return _hold(self._run_on("find_hold", key, buyer))

    def extend(self, key: HoldKey, buyer: str, life: int = LIFE, longest: int = LONGEST) -> Hold:
        """
        Keep it for *life* from now, but no longer than *longest* in all, and not past the close of sales.

        Raises:
            HoldExpired, RequestInProgress, NotOnSaleYet, SalesClosed, ConcertCancelled
        """
        return _hold(self._run_on("extend_hold", key, buyer, life, longest))

    def release_hold(self, key: HoldKey, buyer: str) -> None:
        """
        Free what the buyer holds; repeating it changes nothing.

        Raises:
            RequestInProgress
        """
        self._run_on("release_hold", key, buyer)

    def _run_on(self, script: str, key: HoldKey, buyer: str, *more: Any) -> list[Any]:
        return self._scripts.run(script, key.concert_id, mark_of(key.nonce), key.born, buyer, *more)

    def settle(self, concert_id: str, booking_id: str, hold_mark: str) -> bool:
        """
        The booking is written: what was held for it is sold.

        Returns:
            False if there is no such hold any more: it has expired, Redis lost it, or the booking is cancelled.
        """
        return bool(self._scripts.run("settle", concert_id, hold_mark, booking_id)[0] == b"settled")

    def release(self, concert_id: str, booking_id: str, taken: Taken, hold_mark: str | None = None) -> None:
        """
        Free what is still the booking's of *taken*, held for it or sold; repeating it changes nothing.

        It also ends the hold that the booking is made of, by default the one made for it alone.
        """
        self._run_for("release", concert_id, booking_id, taken, hold_mark)

    def mark_sold(self, concert_id: str, booking_id: str, taken: Taken, hold_mark: str | None = None) -> None:
        """MongoDB says that the booking owns *taken*; whoever holds it loses it, and the hold it came from ends."""
        self._run_for("mark_sold", concert_id, booking_id, taken, hold_mark)

    def _run_for(self, script: str, concert_id: str, booking_id: str, taken: Taken, hold_mark: str | None) -> None:
        mark = mark_of(booking_id)
        self._scripts.run(script, concert_id, booking_id, mark, json.dumps(taken._asdict()), hold_mark or mark)

    def abandon(self, concert_id: str, booking_id: str, hold_mark: str) -> None:
        """MongoDB does not have the booking: the hold is its buyer's again, or free."""
        self._scripts.run("abandon_booking", concert_id, hold_mark, booking_id)

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
        """
        The state of each seat of the types in *sizes*, ticket type -> number of seats.

        While a booking is written from a hold, its seats are booked already.
        """
        answer = self._scripts.run("seats", concert_id, known or "", *sizes)
        tag, version = answer[1].decode(), int(answer[2])
        if answer[0] == b"unchanged":
            return SeatStates(tag, version, None)
        held = dict.fromkeys(map(_number, answer[3]), "h")
        letters = {**held, _number(marks.NOBODY): "a", _number(marks.BLOCKED): "x"}
        states = {}
        for (code, size), owners in zip(sizes.items(), answer[4:], strict=True):
            owned_by = struct.unpack_from(f"{size}Q", owners.ljust((size + 1) * marks.SIZE, b"\0"), marks.SIZE)
            states[code] = "".join([letters.get(mark, "b") for mark in owned_by])
        return SeatStates(tag, version, states)


def _hold(answer: list[bytes]) -> Hold:
    record = json.loads(answer[1])
    return Hold(
        mark=record["mark"],
        born=record["born"],
        version=int(answer[2]),
        taken=taken_in(record),
        items=json.loads(record["items"]),
        prices=record["prices"],
        expires_at=_moment(record["expires"]),
    )


def _number(mark: bytes) -> int:
    """A mark as a number, which is compared faster."""
    return int(struct.unpack("Q", mark.ljust(marks.SIZE, b"\0"))[0])


def _moment(milliseconds: float) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
