"""The audit trail in MongoDB: a document for each version of a concert, kept when the concert is deleted."""

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from rabbitmq.database import Document, Page, page, prepare

INDEXES = [
    IndexModel(
        [("concert_id", ASCENDING), ("at", DESCENDING), ("_id", ASCENDING)],
        name="changes_of_a_concert",
    ),
]


class Changes:
    """The collection `changes`."""

    def __init__(self, database: Database[Document]) -> None:
        self._changes = prepare(database, "changes", INDEXES)

    def add(self, entry: Document) -> None:
        """Write the line down; repeating it changes nothing."""
        self._changes.replace_one({"_id": entry["_id"]}, entry, upsert=True)

    def page_of_concert(self, concert_id: str, limit: int, cursor: str | None) -> Page:
        """*limit* changes of the concert, newest first, after *cursor*."""
        return page(
            self._changes, {"concert_id": concert_id}, by="at", direction=DESCENDING, limit=limit, cursor=cursor
        )
