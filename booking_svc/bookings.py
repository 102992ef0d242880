"""
Bookings in MongoDB: the law. One booking is one document and one write.

A unique index over the claims of confirmed bookings makes selling a unit twice, or passing the limit per person,
impossible whatever Redis says. The database's clock decides whether sales are still open, in the write itself.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import pymongo
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError, WriteError

from booking_svc.contract import BookingNotFound, SalesClosed
from booking_svc.domain import BookingDocument
from rabbitmq import database
from rabbitmq.database import PATIENCE, Document, Page, page, prepare
from rabbitmq.errors import Unavailable
from rabbitmq.group_commit import GroupCommit
from rabbitmq.outbox import PENDING, Envelope

DUPLICATE_KEY = 11000
SETTLED = ["confirmed", "cancelled"]
#: Seconds a refusal's trace stays; a retry with the same key overwrites it.
REFUSAL_KEPT = 3600
NEXT_TELLING = "confirmation_mail.next_telling"
#: Since when nothing has been heard of an event's effect.
SILENT_SINCE = "unheard.silent_since"
#: Bookings in one answer of the server to a scan; each must come within its patience.
SCANNED_AT_ONCE = 5000

INDEXES = [
    IndexModel(
        [("concert_id", ASCENDING), ("claims", ASCENDING)],
        name="one_owner_per_claim",
        unique=True,
        partialFilterExpression={"status": "confirmed"},
    ),
    IndexModel(
        [("user_id", ASCENDING), ("confirmed_at", DESCENDING), ("_id", ASCENDING)],
        name="bookings_of_a_user",
        partialFilterExpression={"status": {"$in": SETTLED}},
    ),
    IndexModel(
        [("concert_id", ASCENDING), ("confirmed_at", DESCENDING), ("_id", ASCENDING)],
        name="bookings_of_a_concert",
        partialFilterExpression={"status": {"$in": SETTLED}},
    ),
    IndexModel([(PENDING, ASCENDING)], name="unpublished_events", partialFilterExpression={PENDING: {"$exists": True}}),
    IndexModel(
        [("confirmed_at", ASCENDING)],
        name="confirmations_awaited",
        partialFilterExpression={"confirmation_mail.state": "queued"},
    ),
    IndexModel(
        [(SILENT_SINCE, ASCENDING)], name="unheard_news", partialFilterExpression={SILENT_SINCE: {"$exists": True}}
    ),
    IndexModel([("refused_at", ASCENDING)], name="refusals_expire", expireAfterSeconds=REFUSAL_KEPT),
]
#: A unique multikey index ignores doubles within one document: uniqueItems stands beside it.
VALIDATOR: Document = {
    "$jsonSchema": {
        "required": ["status", "concert_id"],
        "oneOf": [
            {"properties": {"status": {"enum": ["refused"]}}},
            {
                "required": [
                    "user_id",
                    "fingerprint",
                    "claims",
                    "tickets",
                    "confirmed_at",
                    "outbox",
                ],
                "properties": {
                    "status": {"enum": SETTLED},
                    "claims": {
                        "bsonType": "array",
                        "minItems": 2,
                        "uniqueItems": True,
                    },
                    "tickets": {"bsonType": "array", "minItems": 1},
                    "confirmed_at": {"bsonType": "date"},
                },
            },
        ],
    }
}


class ClaimTaken(Exception):
    """Another confirmed booking has one of the claims."""

    def __init__(self, owner: str | None, claims: Sequence[str]) -> None:
        super().__init__(owner, claims)
        self.owner = owner  #: that booking's id; None when it is gone again
        self.claims = claims  #: all of that booking's


class Bookings:
    """The collection `bookings`. Bookings that come at the same time are looked for, and written, together."""

    def __init__(self, mongo: Database[Document]) -> None:
        self._bookings = prepare(mongo, "bookings", INDEXES, VALIDATOR)
        self._finding = GroupCommit(self._find_all)
        self._confirming = GroupCommit(self._confirm_all)

    def confirm(self, draft: BookingDocument, request_id: str | None = None) -> BookingDocument:
        """
        Write the booking, or find that it is written already. A repeated write meets itself by `_id`.

        Returns:
            the stored document: this draft, or the booking that was there (its tickets differ from the draft's).

        Raises:
            SalesClosed: by the database's clock the write came at or after the draft's `sales_close_at`.
            ClaimTaken: MongoDB sold one of the claims before.
        """
        try:
            stored = self._confirming.ask((draft, request_id))
        except DuplicateKeyError as error:
            raise self._owner_of_claim(draft["concert_id"], error) from error
        if stored["status"] == "refused":
            raise SalesClosed
        return stored

    def _confirm_all(self, asked: Sequence[tuple[BookingDocument, str | None]]) -> list[BookingDocument | Exception]:
        """
        What is stored after each write, or what stood against it. One does not mind what becomes of another.

        Raises:
            PyMongoError: nobody knows what was written; the bookings' keys will tell.
        """
        writes, ids = [confirmed(*one) for one in asked], [draft["_id"] for draft, _ in asked]
        refused: dict[int, Exception] = {}
        with pymongo.timeout(PATIENCE / 1000):
            try:
                self._bookings.bulk_write(writes, ordered=False)
            except BulkWriteError as error:
                if error.details["writeConcernErrors"]:
                    raise
                refused = {why["index"]: _write_error(why) for why in error.details["writeErrors"]}
            stored = {found["_id"]: found for found in self._bookings.find({"_id": {"$in": ids}})}
        lost = Unavailable("booking_svc")  # a majority has it, and who answers us does not know yet
        return [refused.get(number) or stored.get(booking_id) or lost for number, booking_id in enumerate(ids)]

    def _owner_of_claim(self, concert_id: str, error: DuplicateKeyError) -> ClaimTaken:
        key = (error.details or {}).get("keyValue", {})
        owner = self._bookings.find_one(
            {"concert_id": concert_id, "claims": key.get("claims"), "status": "confirmed"}, {"claims": 1}
        )
        return ClaimTaken(None, ()) if owner is None else ClaimTaken(owner["_id"], owner["claims"])

    def find(self, booking_id: str) -> BookingDocument | None:
        """The booking, confirmed or cancelled."""
        return self._finding.ask(booking_id)

    def _find_all(self, ids: Sequence[str]) -> list[BookingDocument | None]:
        found = self._bookings.find({"_id": {"$in": ids}, "status": {"$in": SETTLED}})
        by_id = {booking["_id"]: booking for booking in found}
        return [by_id.get(booking_id) for booking_id in ids]

    def of_user(self, user_id: str, booking_id: str) -> BookingDocument:
        """
        Raises:
            BookingNotFound: there is none, or it is somebody else's.
        """
        found = self.find(booking_id)
        if found is None or found["user_id"] != user_id:
            raise BookingNotFound(booking_id)
        return found

    def page_of_user(self, user_id: str, limit: int, cursor: str | None) -> Page:
        """*limit* bookings of the user, newest first, after *cursor*."""
        wanted: Document = {"user_id": user_id, "status": {"$in": SETTLED}}
        return page(self._bookings, wanted, by="confirmed_at", direction=DESCENDING, limit=limit, cursor=cursor)

    def cancel(self, booking_id: str, sales_close_at: datetime, event: Envelope, by: str) -> BookingDocument | None:
        """
        Cancel a confirmed booking while sales are open by the database's clock, and store *event* with it.

        *by* is who does it, for the history.

        Returns:
            the cancelled booking; None when it is not confirmed any more, or sales have closed.
        """
        return self._bookings.find_one_and_update(
            {"_id": booking_id, "status": "confirmed", "$expr": {"$lt": ["$$NOW", sales_close_at]}},
            [{"$set": cancelled(event, by)}],
            return_document=ReturnDocument.AFTER,
        )

    def request_confirmation(
        self, document: BookingDocument, mail: Document, event: Envelope
    ) -> BookingDocument | None:
        """
        Have the confirmation of *document* sent again, as *mail*, by *event*.

        Returns:
            the booking; None when it is not confirmed any more, or its confirmation has another state by now.
        """
        as_it_was = {
            f"confirmation_mail.{field}": document["confirmation_mail"].get(field) for field in ("kind", "state")
        }
        return self._bookings.find_one_and_update(
            {"_id": document["_id"], "status": "confirmed", **as_it_was},
            {"$set": {"confirmation_mail": mail}, "$push": {"outbox": event}},
            return_document=ReturnDocument.AFTER,
        )

    def record_confirmation_mail(self, booking_id: str, kind: str, sent_at: datetime) -> bool:
        """The mail server took the confirmation. Gives whether that was news; repeating it changes nothing."""
        return self._record_mail(booking_id, kind, {"state": "sent", "sent_at": sent_at, "reason": None})

    def record_failed_confirmation(self, booking_id: str, kind: str, reason: str) -> bool:
        """The mail server refused it, or took it at no time. Gives whether that was news; repeating changes nothing."""
        return self._record_mail(booking_id, kind, {"state": "failed", "reason": reason})

    def _record_mail(self, booking_id: str, kind: str, outcome: Document) -> bool:
        """Of the confirmation that was asked for last; what has been sent stays sent."""
        recorded = self._bookings.update_one(
            {"_id": booking_id, "confirmation_mail.kind": kind, "confirmation_mail.state": {"$ne": "sent"}},
            {"$set": {f"confirmation_mail.{field}": value for field, value in outcome.items()}},
        )
        return recorded.modified_count == 1

    def now(self) -> datetime:
        """The time by the database's clock."""
        return database.now(self._bookings.database)

    def awaiting_confirmation(
        self, confirmed_before: datetime, now: datetime, limit: int, but: Sequence[str] = ()
    ) -> dict[str, str]:
        """
        Bookings confirmed, or asked for again, before then, whose buyer may not have been told; the oldest first.

        Their ids, and the kind of the mail: there may be one among them that cannot be read. *but* are not wanted.
        """
        awaited = {
            "_id": {"$nin": list(but)},
            "status": "confirmed",
            "confirmation_mail.state": "queued",
            "confirmed_at": {"$lte": confirmed_before},
            "confirmation_mail.requested": {"$not": {"$gt": confirmed_before}},  # none of them is later
            "outbox": [],
            "$or": [{NEXT_TELLING: {"$exists": False}}, {NEXT_TELLING: {"$lte": now}}],
        }
        found = self._bookings.find(awaited, {"confirmation_mail.kind": 1}).sort("confirmed_at", ASCENDING).limit(limit)
        return {booking["_id"]: str(booking["confirmation_mail"].get("kind")) for booking in found}

    def put_off_telling(self, ids: Sequence[str], until: datetime) -> None:
        """The mails that these bookings wait for are on their way: they are not told of again before then."""
        waiting = {"_id": {"$in": ids}, "confirmation_mail.state": "queued"}
        self._bookings.update_many(waiting, {"$set": {NEXT_TELLING: until}})

    def tell_again(self, booking: BookingDocument, event: Envelope, tellings: int, next_telling: datetime) -> bool:
        """Store *event* once more, unless the booking's mail has gone out, or another process was faster."""
        as_seen = {
            "_id": booking["_id"],
            "status": "confirmed",
            "confirmation_mail": booking["confirmation_mail"],
            "outbox": [],
        }
        told = {"confirmation_mail.tellings": tellings, NEXT_TELLING: next_telling}
        changed = self._bookings.update_one(as_seen, {"$set": told, "$push": {"outbox": event}})
        return changed.modified_count == 1

    def unheard(self, silent_since: datetime, limit: int, but: Sequence[str] = ()) -> list[str]:
        """The ids of bookings with news whose effect nobody has told of since then; *but* are not wanted."""
        wanted = {"_id": {"$nin": list(but)}, SILENT_SINCE: {"$lte": silent_since}, "outbox": []}
        found = self._bookings.find(wanted, {"_id": 1}).sort(SILENT_SINCE, ASCENDING).limit(limit)
        return [booking["_id"] for booking in found]

    def tell_unheard(self, booking: BookingDocument, news: Document, silent_since: datetime) -> bool:
        """Store the event of *news* once more, unless it was heard, or another process was faster."""
        event_id, tellings = news["event"]["event_id"], news["tellings"]
        as_seen = {
            "_id": booking["_id"],
            "unheard": {"$elemMatch": {"event.event_id": event_id, "tellings": tellings}},
            "outbox.event_id": {"$ne": event_id},
        }
        told = {"unheard.$[one].silent_since": silent_since, "unheard.$[one].tellings": tellings + 1}
        changed = self._bookings.update_one(
            as_seen,
            {"$set": told, "$push": {"outbox": news["event"]}},
            array_filters=[{"one.event.event_id": event_id}],
        )
        return changed.modified_count == 1

    def record_heard(self, booking_id: str, event_id: str) -> bool:
        """What this event was told for will happen. Gives whether that was news; repeating it changes nothing."""
        waiting = {"_id": booking_id, "unheard.event.event_id": event_id}
        heard = self._bookings.update_one(waiting, {"$pull": {"unheard": {"event.event_id": event_id}}})
        return heard.modified_count == 1

    def sold(self, concert_id: str) -> Iterator[tuple[str, list[str]]]:
        """Every confirmed booking of the concert, with its claims, read as the caller goes on."""
        wanted = {"concert_id": concert_id, "status": "confirmed"}
        for document in self._bookings.find(wanted, {"claims": 1}, batch_size=SCANNED_AT_ONCE):
            yield document["_id"], document["claims"]


def confirmed(draft: BookingDocument, request_id: str | None) -> UpdateOne:
    """
    Writes the booking unless it is there, dated and decided by the database's clock.

    Too late, it leaves a trace instead; a later try overwrites that.
    """
    entry = _entry("confirmed", draft["user_id"], request_id)
    booking = {
        "$mergeObjects": [
            {"$literal": draft},
            {
                "status": "confirmed",
                "confirmed_at": "$$NOW",
                "history": [entry],
            },
        ]
    }
    refused = {
        "_id": draft["_id"], "status": "refused", "concert_id": draft["concert_id"], "refused_at": "$$NOW",
    }  # fmt: skip
    decided = {"$cond": [{"$lt": ["$$NOW", draft["sales_close_at"]]}, booking, refused]}
    pipeline = [{"$replaceWith": {"$cond": [{"$in": ["$status", SETTLED]}, "$$ROOT", decided]}}]
    return UpdateOne({"_id": draft["_id"]}, pipeline, upsert=True)


def cancelled(event: Envelope, by: str) -> Document:
    """In a pipeline: the fields of a booking that is cancelled now, and tells so by *event*."""
    history = {"$concatArrays": ["$history", [_entry("cancelled", by, event.get("request_id"))]]}
    return {"status": "cancelled", "cancelled_at": "$$NOW", "history": history, **told(event)}


def told(event: Envelope) -> Document:
    """
    In a pipeline: the fields of a booking that tells *event*, which gets the booking's next `seq`.

    It stays `unheard` until the mailer has entered its mail.
    """
    seq = {"$add": [{"$ifNull": ["$seq", 1]}, 1]}
    numbered = {"$mergeObjects": [{"$literal": event}, {"seq": seq}]}
    news = {"event": numbered, "silent_since": "$$NOW", "tellings": 0}
    return {
        "seq": seq,
        "outbox": {"$concatArrays": ["$outbox", [numbered]]},
        "unheard": {"$concatArrays": [{"$ifNull": ["$unheard", []]}, [news]]},
    }


def _write_error(refused: Document) -> WriteError:
    """What MongoDB says of one write of several."""
    kind = DuplicateKeyError if refused["code"] == DUPLICATE_KEY else WriteError
    return kind(refused["errmsg"], refused["code"], refused)


def _entry(status: str, by: str, request_id: str | None) -> Document:
    """A line of the booking's history, in a pipeline."""
    return {"status": status, "at": "$$NOW", "by": {"$literal": by}, "request_id": {"$literal": request_id}}
