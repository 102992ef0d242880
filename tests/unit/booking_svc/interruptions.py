"""What may happen in the middle of a use case: another one, or the end of the process."""

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The end of a process, in the middle of something."""


def before(store: Any, method: str, act: Callable[[], Any]) -> list[Any]:
    """Let *act* happen once, just before *store*.*method* is called next; its result is then in the list."""
    real, happened = getattr(store, method), list[Any]()

    def interrupted(*arguments: Any, **named: Any) -> Any:
        setattr(store, method, real)
        happened.append(act())
        return real(*arguments, **named)

    setattr(store, method, interrupted)
    return happened


def die_before(store: Any, method: str) -> None:
    """The process is killed just before *store*.*method* is called next."""

    def die() -> None:
        raise Killed(method)

    before(store, method, die)


def undo(store: Any, method: str) -> None:
    """What was to happen before *store*.*method* will not happen any more."""
    vars(store).pop(method, None)
