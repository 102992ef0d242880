"""Many at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

T = TypeVar("T")


def all_at_once(size: int, act: Callable[[int], T]) -> list[T]:
    """What *act* returns for 0, 1, ... each in a thread of its own; all begin in the same moment."""
    gate = Barrier(size)

    def enter(number: int) -> T:
        gate.wait()
        return act(number)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(enter, range(size)))
