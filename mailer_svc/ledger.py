"""The ledger of mails in MongoDB: which mail was asked for, with which Message-ID, and whether it has gone out."""

from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.database import Database

from rabbitmq.database import Document, prepare
from rabbitmq.outbox import PENDING, Envelope

INDEXES = [
    IndexModel([(PENDING, ASCENDING)], name="unpublished_events", partialFilterExpression={PENDING: {"$exists": True}})
]
VALIDATOR: Document = {
    "$jsonSchema": {
        "required": ["booking_id", "kind", "message_id", "state", "outbox"],
        "properties": {"state": {"enum": ["queued", "sending", "sent"]}, "message_id": {"bsonType": "string"}},
    }
}
#: Who sends a mail has it to himself for so long; after a crash another may try.
CLAIM = timedelta(minutes=2)

#: A mail in the ledger: `_id` is `<booking_id>:<kind>`.
Entry = dict[str, Any]


class Ledger:
    """The collection `ledger`, an entry per booking and kind of mail."""

    def __init__(self, database: Database[Document], domain: str) -> None:
        self._ledger = prepare(database, "ledger", INDEXES, VALIDATOR)
        self._domain = domain

    def claim(self, booking_id: str, kind: str, now: datetime) -> Entry | None:
        """
        Enter the mail if it is new, and take it for sending.

        Returns:
            the entry, with the Message-ID this mail has for ever; None when it was sent, or another is sending it.
        """
        entry_id = f"{booking_id}:{kind}"
        entered: Document = {
            "booking_id": booking_id,
            "kind": kind,
            "message_id": f"<{booking_id}.{kind}@{self._domain}>",
            "state": "queued",
            "attempts": 0,
            "entered_at": now,
            "outbox": [],
        }
        self._ledger.update_one({"_id": entry_id}, {"$setOnInsert": entered}, upsert=True)
        return self._ledger.find_one_and_update(
            {"_id": entry_id, "$or": [{"state": "queued"}, {"state": "sending", "claimed_until": {"$lt": now}}]},
            {"$set": {"state": "sending", "claimed_until": now + CLAIM}, "$inc": {"attempts": 1}},
            return_document=ReturnDocument.AFTER,
        )

    def is_sent(self, booking_id: str, kind: str) -> bool:
        return self._ledger.find_one({"_id": f"{booking_id}:{kind}", "state": "sent"}) is not None

    def record_sent(self, entry: Entry, event: Envelope, now: datetime) -> None:
        """The mail server has taken it, once and for all; *event* tells whoever waits for that."""
        self._ledger.update_one(
            {"_id": entry["_id"], "state": {"$ne": "sent"}},
            {"$set": {"state": "sent", "sent_at": now}, "$push": {"outbox": event}},
        )

    def give_back(self, entry: Entry) -> None:
        """It could not be sent; the next try may have it at once, unless another has claimed it since."""
        ours = {"_id": entry["_id"], "state": "sending", "attempts": entry["attempts"]}
        self._ledger.update_one(ours, {"$set": {"state": "queued"}})
