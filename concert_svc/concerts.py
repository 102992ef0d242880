"""
Concerts in MongoDB. Conditions stand in the writes, on the database's clock.

A change is first written into the concert's document as `change`, then made known, then put in force, which removes
it again: so a crash at any point leaves either nothing or a change that somebody else carries on with.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, TEXT, IndexModel, ReturnDocument
from pymongo.database import Database

from concert_svc.contract import ConcertNotFound
from concert_svc.domain import PUBLIC, Action, ConcertDocument, found_by
from rabbitmq import database
from rabbitmq.database import Document, Page, page, prepare
from rabbitmq.outbox import PENDING, Envelope

#: Milliseconds that a change is one process's to carry out; longer than all its steps may take.
LEASE = 10_000

INDEXES = [
    IndexModel([("status", ASCENDING), ("starts_at", ASCENDING), ("_id", ASCENDING)], name="what_is_on"),
    IndexModel(
        [("status", ASCENDING), ("city", ASCENDING), ("starts_at", ASCENDING), ("_id", ASCENDING)],
        name="what_is_on_in_a_city",
    ),
    IndexModel(
        [("status", ASCENDING), ("starts_at", ASCENDING), ("_id", ASCENDING), ("prices", ASCENDING)],
        name="what_is_on_at_a_price",
    ),
    IndexModel(
        [
            ("status", ASCENDING),
            *((field, TEXT) for field in ("title", "performers", "venue.name", "venue.city", "description")),
        ],
        name="words",
        weights={"title": 10, "performers": 8, "venue.name": 4, "venue.city": 4, "description": 1},
        default_language="none",
        language_override="language_of_words",  # no field of ours: every language is treated alike
    ),
    IndexModel(
        [("organiser_id", ASCENDING), ("starts_at", DESCENDING), ("_id", ASCENDING)], name="concerts_of_an_organiser"
    ),
    IndexModel([("status", ASCENDING), ("sales_close_at", ASCENDING)], name="what_closes"),
    IndexModel(
        [("change.until", ASCENDING)],
        name="unfinished_changes",
        partialFilterExpression={"change.until": {"$exists": True}},
    ),
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
#: These say when a write was made, by the database's clock.
MOMENTS = ("published_at", "cancelled_at")


class Concerts:
    """The collection `concerts`."""

    def __init__(self, mongo: Database[Document]) -> None:
        self._concerts = prepare(mongo, "concerts", INDEXES, VALIDATOR)

    def add(self, concert: ConcertDocument) -> None:
        self._concerts.insert_one(concert)

    def find(self, concert_id: str) -> ConcertDocument | None:
        return self._concerts.find_one({"_id": concert_id})

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

    def page_of_organiser(self, organiser_id: str, limit: int, cursor: str | None) -> Page:
        """*limit* concerts of the organiser, the last start first, after *cursor*."""
        wanted = {"organiser_id": organiser_id}
        return page(self._concerts, wanted, by="starts_at", direction=DESCENDING, limit=limit, cursor=cursor)

    # --- changes

    def begin(
        self,
        concert: ConcertDocument,
        action: Action,
        fields: Document,
        by: str,
        request_id: str | None,
        now: datetime,
        token: str,
    ) -> ConcertDocument | None:
        """
        Write down a change of the concert, if it is still as *concert* says and nobody else changes it.

        What is on sale is changed only before its sales close, and nothing gets a close that has passed.

        Returns:
            the concert with its `change`; None when it is not.
        """
        version = concert["last_version"] + 1
        change = {"version": version, "action": action, "fields": fields, "by": by, "request_id": request_id, "at": now}
        in_time: list[Document] = []
        if action == "changed" and concert["status"] == "published":
            in_time.append({"$lt": ["$$NOW", "$sales_close_at"]})
        if action == "published" or "sales_close_at" in fields:
            in_time.append({"$lt": ["$$NOW", fields.get("sales_close_at", concert["sales_close_at"])]})
        return self._concerts.find_one_and_update(
            {
                "_id": concert["_id"],
                "status": concert["status"],
                "last_version": concert["last_version"],
                "change": None,
                "$expr": {"$and": in_time},
            },
            [{"$set": {"last_version": version, "change": _leased({"$literal": {**change, "token": token}})}}],
            return_document=ReturnDocument.AFTER,
        )

    def take_over(self, concert: ConcertDocument, token: str) -> ConcertDocument | None:
        """The concert, whose change is *token*'s to carry out from now on; None while it is somebody else's."""
        return self._concerts.find_one_and_update(
            {**_same_change(concert), "$expr": {"$lte": ["$change.until", "$$NOW"]}},
            [{"$set": {"change": _leased({"$mergeObjects": ["$change", {"token": token}]})}}],
            return_document=ReturnDocument.AFTER,
        )

    def give_back(self, concert: ConcertDocument) -> None:
        """Whoever wants may carry on with the change."""
        self._concerts.update_one(_same_change(concert), [{"$set": {"change": {"until": "$$NOW"}}}])

    def drop(self, concert: ConcertDocument) -> None:
        """Forget the change; it was refused."""
        self._concerts.update_one(_same_change(concert), {"$unset": {"change": 1}})

    def commit(self, concert: ConcertDocument, events: Sequence[Envelope]) -> ConcertDocument | None:
        """
        Put the change in force, and store *events* with it.

        Returns:
            the changed concert; None when the change is not ours any more.
        """
        change = concert["change"]
        values = {**change["fields"], **found_by({**concert, **change["fields"]})}
        new: Document = {name: {"$literal": value} for name, value in values.items()}
        new |= {name: "$$NOW" for name in MOMENTS if name in change["fields"]}
        new["schedule_version"] = change["version"]
        new["outbox"] = {"$concatArrays": ["$outbox", [{"$literal": event} for event in events]]}
        return self._concerts.find_one_and_update(
            _same_change(concert), [{"$set": new}, {"$unset": "change"}], return_document=ReturnDocument.AFTER
        )

    def delete(self, concert: ConcertDocument) -> None:
        """Put the change in force that deletes the concert."""
        self._concerts.delete_one(_same_change(concert))

    def now(self) -> datetime:
        """The time by the database's clock, which decides all that has a moment."""
        return database.now(self._concerts.database)

    def unfinished(self, now: datetime) -> Iterator[ConcertDocument]:
        """Concerts with a change that nobody carries out."""
        yield from self._concerts.find({"change.until": {"$lte": now}})

    # --- moments

    def close(self, concert_id: str, schedule_version: int) -> bool:
        """Save `closed`, if sales have closed by the database's clock and the schedule is still that version."""
        return self._move_on(concert_id, schedule_version, "published", "closed", "$sales_close_at")

    def finish(self, concert_id: str, schedule_version: int, lasts: float) -> bool:
        """Save `finished`, *lasts* seconds after the start by the database's clock."""
        ends_at = {"$add": ["$starts_at", lasts * 1000]}
        return self._move_on(concert_id, schedule_version, "closed", "finished", ends_at)

    def _move_on(self, concert_id: str, schedule_version: int, before: str, after: str, moment: Any) -> bool:
        moved = self._concerts.update_one(
            {
                "_id": concert_id,
                "status": before,
                "schedule_version": schedule_version,
                "change": None,
                "$expr": {"$lte": [moment, "$$NOW"]},
            },
            [{"$set": {"status": after, f"{after}_at": "$$NOW"}}],
        )
        return moved.modified_count == 1

    def tell(self, concert_id: str, schedule_version: int, event: Envelope) -> None:
        """Store *event* with the concert, if the schedule is still that version."""
        self._concerts.update_one(
            {"_id": concert_id, "schedule_version": schedule_version}, {"$push": {"outbox": event}}
        )

    def overdue(self, now: datetime) -> Iterator[tuple[str, int]]:
        """Published concerts whose sales have closed, as (id, schedule_version)."""
        yield from self._versions({"status": "published", "sales_close_at": {"$lte": now}})

    def over(self, started_before: datetime) -> Iterator[tuple[str, int]]:
        """Closed concerts that started before, as (id, schedule_version)."""
        yield from self._versions({"status": "closed", "starts_at": {"$lte": started_before}})

    def _versions(self, wanted: Document) -> Iterator[tuple[str, int]]:
        for found in self._concerts.find(wanted, {"schedule_version": 1}):
            yield found["_id"], found["schedule_version"]


def _leased(change: Document) -> Document:
    """In a pipeline: *change*, for its holder to carry out from now on."""
    return {"$mergeObjects": [change, {"until": {"$add": ["$$NOW", LEASE]}}]}


def _same_change(concert: ConcertDocument) -> Document:
    return {"_id": concert["_id"], "change.token": concert["change"]["token"]}
