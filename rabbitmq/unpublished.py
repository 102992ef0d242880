"""What lies in the outboxes and why, for operators; and the wish that it be tried again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pymongo.collection import Collection

from rabbitmq.outbox import PENDING, REFUSAL, Refusal


class Waiting(NamedTuple):
    """The first event of an outbox, as an operator sees it. A broken one may lack anything."""

    aggregate_id: str
    event_id: str | None
    source: str | None
    type: str | None
    occurred_at: datetime | None
    behind: int  #: events of the same document that wait for this one
    refusal: Refusal | None


def waiting(collection: Collection[dict[str, Any]], refused_only: bool = False) -> Iterator[Waiting]:
    """What the documents of *collection* have to tell, or only what the broker refused."""
    wanted: dict[str, Any] = {PENDING: {"$exists": True}}
    if refused_only:
        wanted[REFUSAL] = {"$exists": True}
    for document in collection.find(wanted, {"outbox": 1, REFUSAL: 1}):
        outbox = document["outbox"]
        events = outbox if isinstance(outbox, list) else [outbox]
        first = events[0] if isinstance(events[0], dict) else {}
        yield Waiting(
            aggregate_id=str(document["_id"]),
            event_id=first.get("event_id"),
            source=first.get("source"),
            type=first.get("type"),
            occurred_at=first.get("occurred_at"),
            behind=len(events) - 1,
            refusal=document.get(REFUSAL),
        )


class Survey(NamedTuple):
    pending: int  #: documents with unpublished events
    parked: int  #: those that the broker refuses again and again
    oldest_seconds: float  #: since the oldest event happened; 0 when there is none


def survey(collection: Collection[dict[str, Any]], now: datetime) -> Survey:
    """How much waits in *collection*, and for how long. Not all is late: what happened a moment ago counts, too."""
    pipeline: list[dict[str, Any]] = [
        {"$match": {PENDING: {"$exists": True}}},
        {
            "$group": {
                "_id": None,
                "pending": {"$sum": 1},
                "parked": {"$sum": {"$cond": [{"$eq": ["$" + REFUSAL + ".parked", True]}, 1, 0]}},
                "oldest": {"$min": {"$min": "$outbox.occurred_at"}},
            }
        },
    ]
    for found in collection.aggregate(pipeline):
        oldest = found["oldest"]
        age = (now - oldest).total_seconds() if isinstance(oldest, datetime) else 0.0
        return Survey(found["pending"], found["parked"], max(age, 0.0))
    return Survey(0, 0, 0.0)


def try_again(collection: Collection[dict[str, Any]], aggregate_id: str | None = None) -> int:
    """
    Have the relay try what was refused at its next look: of one document, or of all.

    Returns:
        the number of documents.
    """
    wanted: dict[str, Any] = {REFUSAL: {"$exists": True}}
    if aggregate_id is not None:
        wanted["_id"] = aggregate_id
    return collection.update_many(wanted, {"$set": {f"{REFUSAL}.next_try": datetime.now(UTC)}}).modified_count
