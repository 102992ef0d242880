"""The audit log in MongoDB: security events, written once. Nothing here changes an entry or takes one out."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from auth_svc.contract import AuditEntry, AuditPage, Origin
from rabbitmq.database import Document, page, prepare
from rabbitmq.times import to_wire

#: The database forgets an entry after this.
KEPT = timedelta(days=400)
INDEXES = [
    IndexModel([("at", ASCENDING)], name="entries_expire", expireAfterSeconds=int(KEPT.total_seconds())),
    IndexModel([("user_id", ASCENDING), ("at", DESCENDING), ("_id", ASCENDING)], name="of_a_user"),
    IndexModel([("event", ASCENDING), ("at", DESCENDING), ("_id", ASCENDING)], name="of_a_kind"),
]


class AuditLog:
    """The collection `audit_log`."""

    def __init__(self, database: Database[Document]) -> None:
        self._entries = prepare(database, "audit_log", INDEXES)

    def add(
        self,
        event: str,
        user_id: str | None,
        actor_id: str | None,
        origin: Origin | None,
        request_id: str | None,
        details: dict[str, Any],
    ) -> None:
        """*event* happened to *user_id*, done by *actor_id*."""
        self._entries.insert_one(
            {
                "_id": uuid4().hex,
                "at": datetime.now(UTC),
                "event": event,
                "user_id": user_id,
                "actor_id": actor_id,
                "address": origin and origin["address"],
                "device": origin and origin["device"],
                "request_id": request_id,
                "details": details,
            }
        )

    def page(self, user_id: str | None, event: str | None, limit: int, cursor: str | None) -> AuditPage:
        """Entries, the newest first; of one user or of one kind of event where these are given."""
        wanted = {name: value for name, value in (("user_id", user_id), ("event", event)) if value is not None}
        found = page(self._entries, wanted, by="at", direction=DESCENDING, limit=limit, cursor=cursor)
        return AuditPage(items=[_as_entry(entry) for entry in found.documents], next_cursor=found.next_cursor)


def _as_entry(document: Document) -> AuditEntry:
    return AuditEntry(
        id=document["_id"],
        at=to_wire(document["at"]),
        event=document["event"],
        user_id=document["user_id"],
        actor_id=document["actor_id"],
        address=document["address"],
        device=document["device"],
        request_id=document["request_id"],
        details=document["details"],
    )
