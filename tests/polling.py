"""Waiting for a state, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def poll(what: Callable[[], T], seconds: float = 5.0, every: float = 0.005) -> T:
    """The first true answer of *what*, asked *every* so many seconds; fails when there is none within *seconds*."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)
    return answer
