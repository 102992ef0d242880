"""
How long whoever caused what we do will still wait for it.

A request says how many milliseconds its caller waits, and nobody knows how many of them it spent on its way; so they
count from its arrival, on this process' own clock. A call made meanwhile gets no more than what is left of them.
"""

import time
from contextvars import ContextVar

#: Monotonic time at which nobody waits any more; None: nobody waits at all. Each worker has its own.
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def begin(deadline: float | None) -> None:
    """Whoever caused what this worker does waits until *deadline*."""
    _deadline.set(deadline)


def left(at_most: float) -> float:
    """Seconds that are left, and no more than *at_most*; not positive: the caller has gone."""
    deadline = _deadline.get()
    return at_most if deadline is None else min(at_most, deadline - time.monotonic())


def is_over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
