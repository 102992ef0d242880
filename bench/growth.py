"""How the cost of a booking grows: with capacity, with bookings stored, with concerts on sale, with processes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bench.archive import Archive
from bench.crowd import Crowd
from bench.measure import Measured, measure, together
from bench.programme import Programme
from bench.scenarios import ECHO, SCENARIOS, bookings
from bench.stack import Stack

CONNECTIONS, WARM_UP = 64, 1
#: Bookings and echo take so many turns for each size: the machine itself is now faster and now slower.
TURNS = 2
#: Seconds after which a new concert is counted once more when it is asked for.
COUNTED_AGAIN = 16
#: Seconds, and concerts a second, until every process of booking_svc has met each of them.
FIRST_CONTACT, MET_IN_A_SECOND = 5, 50
#: Tickets on sale in all, however small the concerts are: more than are sold while one size is measured.
ENOUGH = 20_000

#: A size, and what was measured with it.
Point = tuple[int, Measured]


class Ground(NamedTuple):
    """What a curve is measured on."""

    stack: Stack
    crowd: Crowd
    programme: Programme
    archive: Archive
    seconds: int


def by_capacity(ground: Ground, long: bool) -> Iterator[Point]:
    """Of each concert."""
    for size in (1_000, 10_000, 100_000, 1_000_000):
        concerts = [ground.programme.concert(size) for _ in range(max(1, ENOUGH // size))]
        yield size, _bookings(ground, concerts)


def by_stored(ground: Ground, long: bool) -> Iterator[Point]:
    """Stored bookings of the same concert."""
    stored = 0
    for size in (0, 20_000, 200_000, *((900_000,) if long else ())):
        ground.archive.store(size - stored)
        stored = size
        yield size, _bookings(ground, [ground.archive.concert_id])


def by_concerts(ground: Ground, long: bool) -> Iterator[Point]:
    """Concerts on sale at once, each of which sells."""
    sizes = (1, 10, 100, *((1_000,) if long else ()))
    concerts = ground.programme.concerts(sizes[-1])
    time.sleep(COUNTED_AGAIN)
    for size in sizes:
        until_met = max(FIRST_CONTACT, size // MET_IN_A_SECOND)
        measure(ground.stack, bookings(ground.crowd, concerts[:size]), CONNECTIONS, until_met)
        yield size, _bookings(ground, concerts[:size])


def by_processes(ground: Ground) -> Iterator[Point]:
    """Processes of booking_svc: all that the stack has, then ever fewer."""
    concert_id = ground.programme.concert()
    processes = sorted(name for name in ground.stack.processes() if name.startswith("booking_svc"))
    while processes:
        yield len(processes), _bookings(ground, [concert_id])
        last = processes.pop()
        if processes:
            ground.stack.stop(last)


CURVES: Mapping[str, Callable[[Ground, bool], Iterator[Point]]] = {
    "capacity": by_capacity,
    "concerts": by_concerts,
    "stored": by_stored,
}


def _bookings(ground: Ground, concerts: Sequence[str]) -> Measured:
    """Up to the answer, beside echo."""
    both = (
        bookings(ground.crowd, concerts)._replace(alone=True),
        SCENARIOS[ECHO](ground.crowd, ground.programme)._replace(alone=True),
    )
    measure(ground.stack, both[0], CONNECTIONS, WARM_UP)  # each process reads the terms of each concert once
    turns = [[measure(ground.stack, one, CONNECTIONS, ground.seconds) for one in both] for _ in range(TURNS)]
    booked, echo = map(together, zip(*turns, strict=True))
    return booked.compared(echo)
