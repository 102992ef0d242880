"""Bookings for minutes on end: is the last one as cheap as the first, and does memory stay?"""

import time
from collections.abc import Iterator
from math import gcd
from typing import NamedTuple

from bench import costs
from bench.crowd import Crowd
from bench.measure import Measured, measure
from bench.programme import LIMIT, Programme
from bench.scenarios import ECHO, SCENARIOS, bookings
from bench.stack import Stack

CONNECTIONS = 64
#: Seconds that a look takes, and its comparison with echo: the machine itself is now faster and now slower.
LOOK, COMPARISON = 20, 2
#: More than are ever booked in a second.
MOST = 2000


class Look(NamedTuple):
    """What was seen *at* so many seconds after the beginning."""

    at: float
    measured: Measured
    memory: dict[str, int]  #: bytes, by program


def soak(stack: Stack, crowd: Crowd, programme: Programme, seconds: int) -> Iterator[Look]:
    """Book for so many seconds; enough concerts that nobody meets the limit, and nothing is sold out."""
    scenario = bookings(crowd, programme.concerts(concerts_for(len(crowd.tokens), seconds)))
    echo, began = SCENARIOS[ECHO](crowd, programme), time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        measured = measure(stack, scenario, CONNECTIONS, LOOK)
        measured = measured.compared(measure(stack, echo, CONNECTIONS, COMPARISON))
        yield Look(at, measured, dict(costs.read(stack.processes(), memory=True).memory))


def concerts_for(buyers: int, seconds: int) -> int:
    """How many concerts are enough. A buyer whose turn comes round again is at another one."""
    concerts = 1 + MOST * seconds // (buyers * LIMIT)
    while gcd(concerts, buyers) > 1:
        concerts += 1
    return concerts
