"""
Concerts and their audit trail in memory, on a clock of the test's own.

What `concerts_contract.py` beside this module says is checked of these and of the real ones.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from booking_svc.contract import SalesTerms
from concert_svc.concerts import LEASE, MOMENTS
from concert_svc.contract import ConcertNotFound
from concert_svc.domain import Action, ConcertDocument, found_by
from rabbitmq.errors import Unavailable
from rabbitmq.outbox import Envelope


class FakeConcerts:
    """As `concert_svc.concerts.Concerts`, as far as the back office and closing need it."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._stored: dict[str, ConcertDocument] = {}
        self._lock = threading.Lock()

    def add(self, concert: ConcertDocument) -> None:
        self._stored[concert["_id"]] = dict(concert)

    def find(self, concert_id: str) -> ConcertDocument | None:
        found = self._stored.get(concert_id)
        return found and dict(found)

    def seen_by(self, viewer_id: str | None, concert_id: str) -> ConcertDocument:
        found = self.find(concert_id)
        if found is None or (found["status"] == "draft" and found["organiser_id"] != viewer_id):
            raise ConcertNotFound(concert_id)
        return found

    def owned_by(self, organiser_id: str, concert_id: str) -> ConcertDocument:
        found = self.find(concert_id)
        if found is None or found["organiser_id"] != organiser_id:
            raise ConcertNotFound(concert_id)
        return found

    def begin(
        self,
        concert: ConcertDocument,
        action: Action,
        fields: dict[str, Any],
        by: str,
        request_id: str | None,
        now: datetime,
        token: str,
    ) -> ConcertDocument | None:
        with self._lock:
            stored = self._stored[concert["_id"]]
            same = all(stored[name] == concert[name] for name in ("status", "last_version")) and "change" not in stored
            too_late = action == "changed" and stored["status"] == "published" and self._has_closed(stored)
            if action == "published" or "sales_close_at" in fields:
                too_late |= self._has_closed({**stored, **fields})
            if not same or too_late:
                return None
            stored["last_version"] += 1
            stored["change"] = {"version": stored["last_version"], "action": action, "fields": fields, "by": by,
                                "request_id": request_id, "at": now, "token": token}  # fmt: skip
            return self._lease(stored)

    def _has_closed(self, concert: ConcertDocument) -> bool:
        return bool(concert["sales_close_at"] <= self._now())

    def _lease(self, stored: ConcertDocument) -> ConcertDocument:
        stored["change"] = {**stored["change"], "until": self._now() + timedelta(milliseconds=LEASE)}
        return dict(stored)

    def take_over(self, concert: ConcertDocument, token: str) -> ConcertDocument | None:
        stored = self._same_change(concert)
        if stored is None or stored["change"]["until"] > self._now():
            return None
        stored["change"] = {**stored["change"], "token": token}
        return self._lease(stored)

    def give_back(self, concert: ConcertDocument) -> None:
        stored = self._same_change(concert)
        if stored is not None:
            stored["change"] = {**stored["change"], "until": self._now()}

    def drop(self, concert: ConcertDocument) -> None:
        stored = self._same_change(concert)
        if stored is not None:
            del stored["change"]

    def commit(self, concert: ConcertDocument, events: Sequence[Envelope]) -> ConcertDocument | None:
        stored = self._same_change(concert)
        if stored is None:
            return None
        change = stored.pop("change")
        stored |= {**change["fields"], "schedule_version": change["version"]}
        stored |= {name: self._now() for name in MOMENTS if name in change["fields"]}
        stored |= {**found_by(stored), "outbox": [*stored["outbox"], *events]}
        return dict(stored)

    def delete(self, concert: ConcertDocument) -> None:
        if self._same_change(concert) is not None:
            del self._stored[concert["_id"]]

    def _same_change(self, concert: ConcertDocument) -> ConcertDocument | None:
        stored = self._stored[concert["_id"]]
        return stored if stored.get("change", {}).get("token") == concert["change"]["token"] else None

    def unfinished(self, now: datetime) -> Iterator[ConcertDocument]:
        return iter([dict(c) for c in self._stored.values() if "change" in c and c["change"]["until"] <= now])

    def close(self, concert_id: str, schedule_version: int) -> bool:
        return self._move_on(concert_id, schedule_version, "published", "closed", "sales_close_at", 0)

    def finish(self, concert_id: str, schedule_version: int, lasts: float) -> bool:
        return self._move_on(concert_id, schedule_version, "closed", "finished", "starts_at", lasts)

    def _move_on(self, concert_id: str, version: int, before: str, after: str, moment: str, later: float) -> bool:
        with self._lock:
            stored = self._stored[concert_id]
            due = stored[moment] + timedelta(seconds=later) <= self._now()
            if (stored["status"], stored["schedule_version"]) != (before, version) or "change" in stored or not due:
                return False
            stored |= {"status": after, f"{after}_at": self._now()}
            return True

    def tell(self, concert_id: str, schedule_version: int, event: Envelope) -> None:
        stored = self._stored[concert_id]
        if stored["schedule_version"] == schedule_version:
            stored["outbox"] = [*stored["outbox"], event]

    def publish_all(self, concert_id: str) -> list[Envelope]:
        """What a relay takes out of the outbox."""
        events: list[Envelope] = self._stored[concert_id]["outbox"]
        self._stored[concert_id]["outbox"] = []
        return events

    def overdue(self, now: datetime) -> Iterator[tuple[str, int]]:
        return self._versions(lambda c: c["status"] == "published" and c["sales_close_at"] <= now)

    def over(self, started_before: datetime) -> Iterator[tuple[str, int]]:
        return self._versions(lambda c: c["status"] == "closed" and c["starts_at"] <= started_before)

    def _versions(self, wanted: Callable[[ConcertDocument], bool]) -> Iterator[tuple[str, int]]:
        return iter([(c["_id"], c["schedule_version"]) for c in self._stored.values() if wanted(c)])


class FakeChanges:
    """As `concert_svc.changes.Changes`."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}

    def add(self, entry: dict[str, Any]) -> None:
        self.entries[entry["_id"]] = entry


class FakeBooking:
    """booking_svc, as far as concert_svc calls it: *refusal* is what it refuses with, *faults* how it fails next."""

    def __init__(self) -> None:
        self.terms: SalesTerms | None = None
        self.refusal: Exception | None = None
        self.faults: list[str] = []

    def set_sales_terms(self, terms: SalesTerms) -> None:
        fault = self.faults.pop() if self.faults else None
        if fault == "request lost":
            raise Unavailable("booking_svc")
        if self.refusal is not None:
            raise self.refusal
        if self.terms is None or terms["version"] >= self.terms["version"]:
            self.terms = terms
        if fault == "answer lost":
            raise Unavailable("booking_svc")
