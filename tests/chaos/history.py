"""What the clients asked, and what they were told: the history that is held against the stores afterwards."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import httpx

#: `ok`: it was done. `failed`: it was not, and will not be. `unknown`: nobody said, or to come again was said.
Outcome = Literal["ok", "failed", "unknown"]
#: Seconds a client waits, and so the longest that any answer can have taken.
PATIENCE = 30.0

#: A request, not sent yet.
Ask = Callable[[], httpx.Response]


@dataclass(frozen=True)
class Asked:
    """One request and its answer; times are monotonic seconds."""

    what: str  #: book, hold, book hold, cancel, read, ...
    person: str  #: the id of whoever asked
    key: str | None  #: of a booking
    subject: str | None  #: the booking, or the concert, that it is about, where that is known
    sent: float
    took: float
    status: int | None  #: None: there was no answer
    body: bytes
    retry_after: bool
    token: float | None = None  #: when the token that it came with was asked for, where it ought to be good

    @property
    def outcome(self) -> Outcome:
        if self.status is None or self.status >= 500 or b'"request_in_progress"' in self.body:
            return "unknown"
        return "ok" if self.status < 400 else "failed"

    @property
    def until(self) -> float:
        return self.sent + self.took


class History:
    """All that was asked, by many threads at once."""

    def __init__(self) -> None:
        self.epoch = time.time() - time.monotonic()  #: in seconds since 1970, by the servers' clock
        self._asked: list[Asked] = []
        self._lock = threading.Lock()

    def note(
        self,
        what: str,
        person: str,
        ask: Ask,
        key: str | None = None,
        subject: str | None = None,
        token: float | None = None,
    ) -> Asked:
        """Ask, and remember what came of it."""
        sent = time.monotonic()
        status, body, retry_after = None, b"", False
        try:
            answer = ask()
            status, body, retry_after = answer.status_code, answer.content, "Retry-After" in answer.headers
        except httpx.TransportError:
            pass
        asked = Asked(what, person, key, subject, sent, time.monotonic() - sent, status, body, retry_after, token)
        with self._lock:
            self._asked.append(asked)
        return asked

    def all(self) -> list[Asked]:
        """So far."""
        with self._lock:
            return list(self._asked)

    def since(self, moment: float) -> list[Asked]:
        """What was asked, or still unanswered, at *moment* and later."""
        with self._lock:  # they are noted as they are answered
            return list(itertools.takewhile(lambda asked: asked.until >= moment, reversed(self._asked)))

    def first_booking_after(self, moment: float) -> float | None:
        """Seconds from *moment* until a booking stood that was asked for after it; None: there is none yet."""
        stood = [a.until for a in self.since(moment) if a.what == "book" and a.sent >= moment and a.outcome == "ok"]
        return min(stood) - moment if stood else None


def counted(asked: list[Asked]) -> dict[str, int]:
    """How many requests had which outcome."""
    found: dict[str, int] = {"ok": 0, "failed": 0, "unknown": 0}
    for one in asked:
        found[one.outcome] += 1
    return found


def of_body(asked: Asked, name: str) -> Any:
    """A field of the answer's JSON; None where there is none."""
    try:
        return httpx.Response(200, content=asked.body).json().get(name)
    except (ValueError, AttributeError):
        return None
