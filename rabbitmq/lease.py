"""
A lease in MongoDB: of several processes that want it, one has it, and another takes over when that one falls silent.

MongoDB's clock says until when; the holder counts its own seconds from before it asked, so that it never thinks
longer than MongoDB does that the lease is its own.
"""

import time
from typing import Any
from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.collection import Collection

#: Seconds a lease lasts without being renewed.
LASTS = 3.0
#: Seconds between two renewals, and between two looks of those who wait for it.
RENEW, LOOK = 1.0, 0.5


class Lease:
    """The lease *name* in *collection*, for this object among all others in the world."""

    def __init__(self, collection: Collection[dict[str, Any]], name: str) -> None:
        self._collection = collection
        self._name = name
        self._holder = uuid4().hex
        self._until = 0.0
        self._next_look = 0.0

    def hold(self) -> bool:
        """
        Take the lease, or keep it; asks MongoDB only when it is time.

        Returns:
            whether it is ours now.

        Raises:
            PyMongoError: nobody knows.
        """
        now = time.monotonic()
        if now >= self._next_look:
            ours = self._ask()
            self._until = now + LASTS if ours else 0.0
            self._next_look = now + (RENEW if ours else LOOK)
        return time.monotonic() < self._until

    def release(self) -> None:
        """
        Let the next one have it at once.

        Raises:
            PyMongoError: it will have it when the lease ends by itself.
        """
        self._until = self._next_look = 0.0
        self._collection.update_one({"_id": self._name, "holder": self._holder}, {"$set": {"holder": None}})

    def _ask(self) -> bool:
        self._collection.update_one({"_id": self._name}, {"$setOnInsert": {"holder": None}}, upsert=True)
        free = {"$or": [{"$in": ["$holder", [None, self._holder]]}, {"$lt": ["$until", "$$NOW"]}]}
        until = {"$add": ["$$NOW", int(LASTS * 1000)]}
        taken = {
            "holder": {"$cond": [free, self._holder, "$holder"]},
            "until": {"$cond": [free, until, "$until"]},
        }
        lease = self._collection.find_one_and_update(
            {"_id": self._name}, [{"$set": taken}], return_document=ReturnDocument.AFTER
        )
        return lease is not None and lease["holder"] == self._holder
