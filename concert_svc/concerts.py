"""Concerts in MongoDB: drafts, publishing, closing. Conditions stand in the writes, on the database's clock."""

from collections.abc import Iterator
from datetime import datetime

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.database import Database

from concert_svc.contract import ConcertNotFound
from concert_svc.domain import PUBLIC, ConcertDocument
from rabbitmq.database import Document, Page, page, prepare
from rabbitmq.outbox import PENDING, Envelope

INDEXES = [
    IndexModel([("status", ASCENDING), ("starts_at", ASCENDING), ("_id", ASCENDING)], name="what_is_on"),
    IndexModel([("status", ASCENDING), ("sales_close_at", ASCENDING)], name="what_closes"),
    IndexModel([(PENDING, ASCENDING)], name="unpublished_events", partialFilterExpression={PENDING: {"$exists": True}}),
]
VALIDATOR: Document = {
    "$jsonSchema": {
        "required": ["organiser_id", "status", "title", "venue", "starts_at", "sales_close_at", "schedule_version"],
        "properties": {
            "status": {"enum": ["draft", *PUBLIC]},
            "starts_at": {"bsonType": "date"},
            "sales_close_at": {"bsonType": "date"},
            "ticket_types": {"bsonType": "array", "minItems": 1},
        },
    }
}


class Concerts:
    """The collection `concerts`."""

    def __init__(self, database: Database[Document]) -> None:
        self._concerts = prepare(database, "concerts", INDEXES, VALIDATOR)

    def add(self, concert: ConcertDocument) -> None:
        self._concerts.insert_one(concert)

    def seen_by(self, viewer_id: str | None, concert_id: str) -> ConcertDocument:
        """
        Raises:
            ConcertNotFound: there is none, or it is somebody else's draft.
        """
        visible: list[Document] = [{"status": {"$in": PUBLIC}}]
        if viewer_id is not None:
            visible.append({"organiser_id": viewer_id})
        return self._one({"_id": concert_id, "$or": visible})

    def owned_by(self, organiser_id: str, concert_id: str) -> ConcertDocument:
        """
        Raises:
            ConcertNotFound: there is none, or it is somebody else's.
        """
        return self._one({"_id": concert_id, "organiser_id": organiser_id})

    def _one(self, wanted: Document) -> ConcertDocument:
        found = self._concerts.find_one(wanted)
        if found is None:
            raise ConcertNotFound(wanted["_id"])
        return found

    def published(self, limit: int, cursor: str | None) -> Page:
        """*limit* concerts on sale, the next first, after *cursor*."""
        wanted: Document = {"status": "published"}
        return page(self._concerts, wanted, by="starts_at", direction=ASCENDING, limit=limit, cursor=cursor)

    def publish(self, concert: ConcertDocument, event: Envelope) -> ConcertDocument | None:
        """
        Turn the draft into a published concert, if it is still as *concert* says, and store *event* with it.

        Returns:
            the published concert; None when it has changed meanwhile.
        """
        return self._concerts.find_one_and_update(
            {"_id": concert["_id"], "status": "draft", "schedule_version": concert["schedule_version"]},
            [
                {
                    "$set": {
                        "status": "published",
                        "published_at": "$$NOW",
                        "outbox": {"$concatArrays": ["$outbox", [{"$literal": event}]]},
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )

    def close(self, concert_id: str, schedule_version: int) -> bool:
        """Save `closed`, if sales have closed by the database's clock and the schedule is still that version."""
        closed = self._concerts.update_one(
            {
                "_id": concert_id,
                "status": "published",
                "schedule_version": schedule_version,
                "$expr": {"$lte": ["$sales_close_at", "$$NOW"]},
            },
            [{"$set": {"status": "closed", "closed_at": "$$NOW"}}],
        )
        return closed.modified_count == 1

    def overdue(self, now: datetime) -> Iterator[tuple[str, int]]:
        """Published concerts whose sales have closed, as (id, schedule_version)."""
        for found in self._concerts.find(
            {"status": "published", "sales_close_at": {"$lte": now}}, {"schedule_version": 1}
        ):
            yield found["_id"], found["schedule_version"]
