"""
Events are stored with the state change they tell of, in the same document, and published later by the relay.

A document that speaks has a list `outbox` of envelopes. Writing state and envelope is one atomic write, so no event
is lost and none tells of what did not happen. The relay removes an envelope once the broker has confirmed it. What
the broker refuses stays, and the document's `outbox_refusal` says why; only this document waits for it.
"""

from datetime import datetime
from typing import Any, NotRequired, TypedDict
from uuid import UUID, uuid4, uuid5

#: An index on this field, partial to documents that have one, is how the relay finds what is unpublished.
PENDING = "outbox.event_id"
#: The field that says why a document's first event is still there.
REFUSAL = "outbox_refusal"
_SAME_EVENT = UUID("0f5a4c3e-92f0-4a1d-8c53-70a0d4f5b6c1")


class Envelope(TypedDict):
    """An event as it is stored and as it travels (times become ISO-8601 on the wire)."""

    event_id: str  #: handlers drop an id they have handled
    source: str  #: the service whose state changed
    type: str  #: past tense, `booking_confirmed`
    seq: int  #: counts the events of one booking or concert; an older one changes nothing
    occurred_at: datetime
    not_before: NotRequired[datetime]  #: deliver it then, not now
    request_id: NotRequired[str]  #: the HTTP request that caused it
    data: dict[str, Any]


class Refusal(TypedDict):
    """Why the first event of an outbox was not published yet."""

    event_id: str
    reason: str
    times: int  #: tries so far
    since: datetime  #: the first of them
    next_try: datetime
    parked: bool  #: an operator has been told; it is tried rarely


def envelope(
    source: str,
    type: str,
    seq: int,
    data: dict[str, Any],
    now: datetime,
    not_before: datetime | None = None,
    request_id: str | None = None,
    event_id: str | None = None,
) -> Envelope:
    """A new event of *source*, ready to be stored in a document's outbox; *event_id* where it may be told again."""
    event = Envelope(event_id=event_id or str(uuid4()), source=source, type=type, seq=seq, occurred_at=now, data=data)
    if not_before is not None:
        event["not_before"] = not_before
    if request_id is not None:
        event["request_id"] = request_id
    return event


def lasting_id(aggregate_id: str, type: str) -> str:
    """The id of an event that happens once to *aggregate_id*: told again, it is the same event."""
    return str(uuid5(_SAME_EVENT, f"{aggregate_id}:{type}"))
