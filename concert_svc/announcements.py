"""What the others are told of a concert, now and at its moments. Pure."""

from datetime import datetime, timedelta
from typing import Any

from concert_svc import domain
from concert_svc.contract import (
    ConcertCancelled,
    ConcertFinished,
    ConcertReminderDue,
    ConcertRescheduled,
    ConcertStarting,
)
from concert_svc.domain import ConcertDocument
from rabbitmq.outbox import Envelope, envelope

SERVICE = "concert_svc"
#: A concert is over so long after its start, unless the operator says otherwise.
LASTS = timedelta(hours=4)
#: Its buyers are reminded so long before its start.
REMINDED_BEFORE = timedelta(hours=24)


def of_change(
    before: ConcertDocument,
    after: ConcertDocument,
    now: datetime,
    lasts: timedelta = LASTS,
    request_id: str | None = None,
) -> list[Envelope]:
    """What is told when *before* has become *after*: its moments too, since a new version makes the last ones stale."""
    if after["status"] == "cancelled":
        data: Any = ConcertCancelled(concert_id=after["_id"], schedule_version=after["schedule_version"])
        return [_event("concert_cancelled", after, data, now, request_id=request_id)]
    if after["status"] != "published":
        return []
    events = [starting(after, now, request_id), finished(after, now, lasts, request_id)]
    if (reminded_at := after["starts_at"] - REMINDED_BEFORE) > now:
        data = ConcertReminderDue(concert_id=after["_id"], schedule_version=after["schedule_version"])
        events.append(_event("concert_reminder_due", after, data, now, reminded_at, request_id))
    if before["status"] == "published" and is_elsewhere(before, after):
        data = ConcertRescheduled(
            concert_id=after["_id"],
            schedule_version=after["schedule_version"],
            was=domain.schedule(before),
            concert=domain.schedule(after),
        )
        events.append(_event("concert_rescheduled", after, data, now, request_id=request_id))
    return events


def starting(concert: ConcertDocument, now: datetime, request_id: str | None = None) -> Envelope:
    """The hint, delivered when sales close, to save `closed`. A later schedule_version makes it stale."""
    data = ConcertStarting(concert_id=concert["_id"], schedule_version=concert["schedule_version"])
    return _event("concert_starting", concert, data, now, concert["sales_close_at"], request_id)


def finished(
    concert: ConcertDocument, now: datetime, lasts: timedelta = LASTS, request_id: str | None = None
) -> Envelope:
    """The hint, delivered when the concert is over, to save `finished`."""
    data = ConcertFinished(concert_id=concert["_id"], schedule_version=concert["schedule_version"])
    return _event("concert_finished", concert, data, now, concert["starts_at"] + lasts, request_id)


def is_elsewhere(before: ConcertDocument, after: ConcertDocument) -> bool:
    """Whether who comes to the time and place of *before* is wrong there."""
    return any(before[field] != after[field] for field in ("starts_at", "doors_at", "venue"))


def _event(
    type: str,
    concert: ConcertDocument,
    data: Any,
    now: datetime,
    not_before: datetime | None = None,
    request_id: str | None = None,
) -> Envelope:
    seq = concert["schedule_version"]
    return envelope(SERVICE, type, seq=seq, data=dict(data), now=now, not_before=not_before, request_id=request_id)
