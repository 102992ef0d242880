"""A hold is refused by the gateway only with what booking_svc would refuse it with in the same moment."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from booking_svc.contract import (
    GATEWAY_MAY,
    ConcertCancelled,
    ConcertNotFound,
    Item,
    LimitReached,
    NotOnSaleYet,
    Refusal,
    SalesClosed,
    SoldOut,
    UnknownTicketType,
)
from booking_svc.counts import LEASE, STAGED
from booking_svc.scripts import concert_key
from gateway.inventory import PATIENCE, Inventory
from rabbitmq.database import Document
from tests.integration.booking_svc.keys import copy, forget, roll_back
from tests.integration.booking_svc.own_redis import OwnRedis
from tests.integration.booking_svc.process import Process
from tests.local_stack import LocalStack, free_port
from tests.unit.booking_svc.concerts import hall, items, new_id, seats, terms

TICKETS = 3
Told = tuple[type[Refusal], tuple[Any, ...]] | None


class Asked(Exception):
    """The gateway asks booking_svc."""


def looked_up(inventory: Inventory, concert_id: str, asked: Sequence[Item]) -> Told:
    """What the gateway refuses a hold with that booking_svc has refused before; None: it asks again."""
    with suppress(Refusal), inventory.spares(concert_id, asked):  # type: ignore[arg-type]
        raise SoldOut
    try:
        with inventory.spares(concert_id, asked):  # type: ignore[arg-type]
            raise Asked
    except Asked:
        return None
    except Refusal as refusal:
        return type(refusal), refusal.args


class Concert:
    """A concert on sale, as a booking_svc process and the gateway know it."""

    def __init__(self, process: Process, inventory: Inventory) -> None:
        self.process, self.office, self.inventory = process, process.box_office, inventory
        self.id, self.version = new_id(), 0
        self.buyer = new_id()

    def sell(self, **changes: Any) -> None:
        self.version += 1
        on_sale = {"capacities": {"standing": TICKETS}, "limit": 6, **changes}
        self.process.new_terms.set(terms(self.id, version=self.version, **on_sale))

    def hold(self, quantity: int = TICKETS, buyer: str | None = None) -> str:
        return self.office.hold(buyer or new_id(), new_id(), self.id, items(standing=quantity))["id"]

    def expired(self, what: str) -> None:
        """All tickets, held until a moment ago: for a booking that nobody writes, or by a buyer."""
        request = self.process.inventory.hold_request(new_id(), self.id, items(standing=TICKETS))
        place = self.process.holds.place if what == "hold" else self.process.holds.place_for_booking
        self.process.inventory.ask(self.id, lambda _: place(self.id, new_id(), request, life=0))

    def asked(self, wanted: Sequence[Item]) -> Told:
        """What booking_svc refuses the buyer's hold with; what it gives is given back."""
        try:
            hold = self.office.hold(self.buyer, new_id(), self.id, wanted)
        except Refusal as refusal:
            return type(refusal), refusal.args
        self.office.release_hold(self.buyer, hold["id"])
        return None

    def must_be_told_the_same(self, wanted: Sequence[Item]) -> Told:
        """What a hold of this is refused with; by the gateway as well, if it refuses it."""
        before = looked_up(self.inventory, self.id, wanted)
        told = self.asked(wanted)
        assert before in (None, told), "refused too early"
        return told

    @property
    def redis(self) -> Redis:
        return self.process.redis

    def key(self, *parts: str) -> str:
        return concert_key(self.id, *parts)


@pytest.fixture(autouse=True)
def busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever takes its time here is waited for."""
    monkeypatch.setattr("gateway.inventory.PATIENCE", 10.0)
    monkeypatch.setattr("booking_svc.inventory.PATIENCE", 20.0)


@pytest.fixture
def concert(mongo: Database[Document], stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Concert]:
    monkeypatch.setattr("booking_svc.holds.BUSY", 0)  # what is in doubt is not waited for
    with Redis.from_url(stack.redis_url, socket_timeout=60) as patient:
        one = Concert(Process(patient, mongo), Inventory(stack.gateway_redis_url))
        yield one
        forget(patient, one.id)


def sold_out_by_holds(c: Concert) -> None:
    c.sell()
    c.hold()


def sold_out_by_bookings(c: Concert) -> None:
    c.sell()
    c.office.book(new_id(), new_id(), c.id, items(standing=TICKETS))


def nearly_sold_out(c: Concert) -> None:
    c.sell()
    c.hold(TICKETS - 1)


def released(c: Concert) -> None:
    c.sell()
    buyer = new_id()
    hold = c.hold(buyer=buyer)
    c.asked(items(standing=1))  # from now on "sold out" is believed for a while
    c.office.release_hold(buyer, hold)


def cancelled(c: Concert) -> None:
    c.sell()
    buyer = new_id()
    booking, _ = c.office.book(buyer, new_id(), c.id, items(standing=TICKETS))
    c.asked(items(standing=1))
    c.office.cancel(buyer, booking["_id"])


def expired(c: Concert) -> None:
    released(c)
    c.expired("hold")


def in_doubt(c: Concert) -> None:
    released(c)
    c.expired("booking")


def raised(c: Concert) -> None:
    sold_out_by_bookings(c)
    c.asked(items(standing=1))
    c.sell(capacities={"standing": TICKETS + 1})


def lowered(c: Concert) -> None:
    nearly_sold_out(c)
    c.sell(capacities={"standing": TICKETS - 1})


def closed(c: Concert) -> None:
    c.sell(closes_in=timedelta(seconds=-1))


def closed_and_sold_out(c: Concert) -> None:
    sold_out_by_bookings(c)
    closed(c)


def moved(c: Concert) -> None:
    closed(c)
    c.asked(items(standing=1))
    c.sell()


def not_open(c: Concert) -> None:
    c.sell(opens_in=timedelta(minutes=1))


def called_off(c: Concert) -> None:
    sold_out_by_bookings(c)
    c.sell(status="cancelled")


def at_the_limit(c: Concert) -> None:
    c.sell(capacities={"standing": TICKETS + 1}, limit=TICKETS)
    c.hold(TICKETS, c.buyer)


def at_the_limit_and_sold_out(c: Concert) -> None:
    c.sell(limit=TICKETS)
    c.hold(TICKETS, c.buyer)


def other_type(c: Concert) -> None:
    c.sell(capacities={"balcony": 1}, closes_in=timedelta(seconds=-1))


def reserved(c: Concert) -> None:
    c.sell(capacities={}, seating={"standing": hall("1", seats_per_row=4, blocked_seats=["B-1-1"])})
    c.hold(TICKETS)


def emptied(c: Concert) -> None:
    sold_out_by_bookings(c)
    c.asked(items(standing=1))
    forget(c.redis, c.id)


def rolled_back(c: Concert) -> None:
    """Redis has it sold out; it is not any more."""
    c.sell()
    buyer = new_id()
    booking, _ = c.office.book(buyer, new_id(), c.id, items(standing=TICKETS))
    c.asked(items(standing=1))
    kept = copy(c.redis, c.id)
    c.office.cancel(buyer, booking["_id"])
    roll_back(c.redis, c.id, kept)


def restarted(c: Concert) -> None:
    rolled_back(c)
    c.redis.hset(c.key("terms"), "run", "another")


def half_evicted(c: Concert) -> None:
    rolled_back(c)
    c.redis.delete(c.key("buyers"))


def settled(c: Concert) -> None:
    """Redis was lost 15 s ago; since then every write that had begun before has ended."""
    rolled_back(c)
    c.redis.hset(c.key("terms"), "settle_at", 1)


def due_to_be_counted(c: Concert) -> None:
    """A ticket has leaked; nobody has counted lately."""
    c.sell()
    c.redis.setbit(c.key("taken", "standing"), 1, 1)
    c.redis.hset(c.key("terms"), mapping={"trusted_until": 1, "stale_from": 1})


def being_counted(c: Concert) -> None:
    sold_out_by_bookings(c)
    c.asked(items(standing=1))
    c.process.holds._scripts.run("begin_count", c.id, "token", LEASE, STAGED)


def cancelled_while_counted(c: Concert) -> None:
    being_counted(c)
    (booking,) = (c.process.bookings.find(owner) for owner, _ in c.process.bookings.sold(c.id))
    assert booking
    c.office.cancel(booking["user_id"], booking["_id"])


def unknown(c: Concert) -> None:
    pass


SOLD_OUT = (SoldOut, ("standing",))
ONE, TWO, ALL = items(standing=1), items(standing=2), items(standing=TICKETS)


@pytest.mark.parametrize(
    ("become", "wanted", "told", "early"),
    [
        (sold_out_by_holds, ONE, SOLD_OUT, True),
        (sold_out_by_bookings, ONE, SOLD_OUT, True),
        (nearly_sold_out, ONE, None, False),
        (nearly_sold_out, TWO, SOLD_OUT, True),
        (released, ALL, None, False),
        (cancelled, ALL, None, False),
        (expired, ALL, None, False),
        (in_doubt, ALL, None, False),
        (raised, ONE, None, False),
        (raised, TWO, SOLD_OUT, True),
        (lowered, ONE, SOLD_OUT, True),
        (closed, ONE, (SalesClosed, ()), True),
        (closed_and_sold_out, ONE, (SalesClosed, ()), True),
        (moved, ONE, None, False),
        (not_open, ONE, (NotOnSaleYet, ()), True),
        (called_off, ONE, (ConcertCancelled, ()), True),
        (at_the_limit, ONE, (LimitReached, (str(TICKETS), str(TICKETS))), False),
        (at_the_limit_and_sold_out, ONE, SOLD_OUT, True),
        (other_type, ONE, (UnknownTicketType, ("standing",)), False),
        (reserved, ONE, SOLD_OUT, True),
        (sold_out_by_holds, [*ONE, *ONE], SOLD_OUT, False),
        (closed, seats("standing", "B-1-1"), None, False),
        (emptied, ONE, SOLD_OUT, True),
        (rolled_back, ONE, SOLD_OUT, True),  # in the same process nobody can tell, until the next count
        (restarted, ALL, None, False),
        (half_evicted, ALL, None, False),
        (settled, ALL, None, False),
        (due_to_be_counted, ALL, None, False),
        (being_counted, ONE, SOLD_OUT, True),
        (cancelled_while_counted, ALL, None, False),
        (unknown, ONE, (ConcertNotFound, None), False),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_gateway_refuses_what_booking_svc_refuses(
    concert: Concert, become: Callable[[Concert], None], wanted: Sequence[Item], told: Any, early: bool
) -> None:
    become(concert)
    said = concert.must_be_told_the_same(wanted)
    if wanted and "seats" not in wanted[0]:
        assert (said and said[0]) == (told and told[0])
        assert told is None or told[1] is None or said == told
    # What stood in the way of being certain booking_svc has seen to: the next one is refused by the gateway.
    assert looked_up(concert.inventory, concert.id, wanted) == (said if early else None)


def test_concert_that_nobody_was_refused_costs_no_look(concert: Concert) -> None:
    sold_out_by_holds(concert)
    with pytest.raises(Asked), concert.inventory.spares(concert.id, ONE):  # type: ignore[arg-type]
        raise Asked


def is_refused_after_a_release(concert: Concert, inventory: Inventory) -> bool:
    """Whether the last ticket was ever refused though its release had been answered; others ask all the time."""
    concert.sell(capacities={"standing": 1})
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            looked_up(inventory, concert.id, ONE)

    knocking = [threading.Thread(target=knock) for _ in range(3)]
    for thread in knocking:
        thread.start()
    try:
        for _ in range(20):
            hold = concert.hold(1, concert.buyer)
            assert concert.asked(ONE) == looked_up(inventory, concert.id, ONE) == SOLD_OUT
            concert.office.release_hold(concert.buyer, hold)
            if looked_up(inventory, concert.id, ONE) is not None:
                return True
    finally:
        over.set()
        for thread in knocking:
            thread.join()
    return False


def test_freed_ticket_is_not_refused_once_its_release_is_answered(concert: Concert) -> None:
    assert not is_refused_after_a_release(concert, concert.inventory)


def test_gateway_that_remembers_refusals_refuses_what_is_free(concert: Concert, stack: LocalStack) -> None:
    """The control: the race would see it."""

    class Remembering(Inventory):
        remembered: tuple[float, list[str]] = (0.0, [])

        def _answer(self, asked: tuple[str, str], quantity: int) -> list[str]:
            until, answer = self.remembered
            if time.monotonic() < until:
                return answer
            answer = super()._answer(asked, quantity)
            if answer[0] == "sold_out":
                self.remembered = (time.monotonic() + 5, answer)
            return answer

    assert is_refused_after_a_release(concert, Remembering(stack.gateway_redis_url))


# --- the gateway's user of the inventory's Redis

#: Open to everybody who has connected.
ANYBODYS = {"auth", "hello", "quit", "reset"}


def may(redis: Redis, *command: str) -> bool:
    """
    Whether Redis would let the gateway do this.

    Raises:
        ResponseError: there is no such command, with so many arguments.
    """
    return bytes(redis.execute_command("ACL DRYRUN", "gateway", *command)) == b"OK"


def may_in_some_way(redis: Redis, command: str) -> bool:
    """Whether it is among its commands, with however many arguments. What only holds subcommands takes none."""
    for arguments in range(9):
        with suppress(ResponseError):
            answer = redis.execute_command("ACL DRYRUN", "gateway", *command.split("|"), *["{c}:terms"] * arguments)
            return b"no permissions to run" not in bytes(answer)
    return False


def test_gateways_user_has_the_commands_that_the_function_needs_and_no_other(redis: Redis) -> None:
    names = [bytes(name).decode() for name in redis.execute_command("COMMAND LIST")]
    needed = {word.strip("(+)") for rule in GATEWAY_MAY for word in rule.split() if "+" in word}
    assert len(names) > 200 and needed < set(names)
    assert {name for name in names if may_in_some_way(redis, name)} == needed | ANYBODYS


@pytest.mark.parametrize(
    "command",
    [
        "HGET {c}:holds a", "HGETALL {c}:terms", "HGET {c}:buyers a", "GET {c}:owners:standing", "GET {c}:on_sale",
        "ZRANGE {c}:expiries 0 -1", "LRANGE {c}:journal 0 -1", "HMGET {c}:holds a b", "GET other", "EXISTS other",
        "HSET {c}:terms a b", "SETBIT {c}:taken:standing 1 1", "DEL {c}:terms", "FLUSHALL", "KEYS *", "SCAN 0",
        "EVAL x 0", "EVAL_RO x 0", "EVALSHA x 0", "EVALSHA_RO x 0", "SCRIPT LOAD x", "FUNCTION LOAD x",
        "FUNCTION DELETE inventory", "FCALL refuse_hold 1 {c} a 1", "CONFIG GET *", "ACL LIST", "MONITOR",
        "PUBLISH a b", "SUBSCRIBE a", "CLIENT LIST", "DEBUG SLEEP 1", "SHUTDOWN", "MULTI",
    ],
)  # fmt: skip
def test_gateways_user_may_do_nothing_else(redis: Redis, command: str) -> None:
    assert not may(redis, *command.split(" "))


def test_gateways_user_may_do_what_the_function_does(redis: Redis) -> None:
    for command in (
        "FCALL_RO refuse_hold 1 {c} a 1",
        "HGET {c}:terms run",
        "BITCOUNT {c}:taken:a",
        "EXISTS {c}:rows:a",
    ):
        assert may(redis, *command.split(" "))


# --- a Redis that does not answer, or not as it should


@contextmanager
def silent_server() -> Iterator[tuple[str, Callable[[], int]]]:
    """Its address, and how many have connected to it; it says nothing to them."""
    connected: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connected.append(server.accept()[0])

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0", lambda: len(connected)
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for one in connected:
        one.close()


def test_silent_redis_is_asked_once_and_then_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.inventory.PATIENCE", PATIENCE)
    monkeypatch.setattr("gateway.inventory.AWAY", 3600.0)
    with silent_server() as (url, connected):
        inventory, began = Inventory(url), time.monotonic()
        assert [looked_up(inventory, new_id(), ONE) for _ in range(50)] == [None] * 50
        assert time.monotonic() - began < 5
        assert connected() == 1


def test_redis_that_comes_back_is_asked_again(
    concert: Concert, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.inventory.AWAY", 0.0)
    sold_out_by_holds(concert)
    concert.asked(ONE)
    inventory = Inventory(f"redis://127.0.0.1:{free_port()}/0")
    assert looked_up(inventory, concert.id, ONE) is None
    inventory._redis = concert.inventory._redis
    assert looked_up(inventory, concert.id, ONE) == SOLD_OUT


@pytest.mark.parametrize("url", [None, "wrong password"])
def test_without_a_way_in_booking_svc_is_asked(concert: Concert, stack: LocalStack, url: str | None) -> None:
    sold_out_by_holds(concert)
    wrong = stack.gateway_redis_url.replace("gateway:", "gateway:not-")
    assert looked_up(Inventory(url and wrong), concert.id, ONE) is None


def test_function_is_there_again_after_redis_was_lost(
    tmp_path: Path, new_database: Callable[[], Database[Document]]
) -> None:
    redis = OwnRedis(tmp_path, "--user", "gateway", "on", ">secret", *GATEWAY_MAY)
    try:
        process = Process(redis.client, new_database())
        port = redis.client.connection_pool.connection_kwargs["port"]
        inventory = Inventory(f"redis://gateway:secret@127.0.0.1:{port}/0")
        one = Concert(process, inventory)
        sold_out_by_bookings(one)
        for lose in (redis.restart, redis.restart_empty, redis.restart_empty):
            assert one.asked(ONE) == SOLD_OUT
            inventory._away_until = 0.0
            assert looked_up(inventory, one.id, ONE) == SOLD_OUT
            lose()
            assert looked_up(inventory, one.id, ONE) is None
            with suppress(RedisError):  # a connection to the one before
                redis.client.ping()
    finally:
        redis.kill()
