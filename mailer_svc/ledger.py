"""
The ledger of mails in MongoDB: which mail was asked for, with which Message-ID, when it is tried next, how it ended.

    queued --claim--> sending --> sent | failed
       ^------ try again ----'        (an entry that its process has left comes back by itself)

A mail is tried again, ever more rarely, until it is sent, refused for good, or GIVE_UP is over. All that is needed to
write it lies in its entry until then, and is deleted with success: no broker has to keep it, and no token stays.
"""

import random
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.database import Database

from rabbitmq import database
from rabbitmq.database import Document, prepare
from rabbitmq.outbox import PENDING, Envelope

QUEUED: Document = {"state": "queued"}
WAITING = ["queued", "sending"]
INDEXES = [
    IndexModel([(PENDING, ASCENDING)], name="unpublished_events", partialFilterExpression={PENDING: {"$exists": True}}),
    IndexModel([("urgency", ASCENDING), ("due_at", ASCENDING)], name="what_is_due", partialFilterExpression=QUEUED),
    IndexModel([("entered_at", ASCENDING)], name="what_waits_longest", partialFilterExpression=QUEUED),
    IndexModel([("claimed_until", ASCENDING)], name="what_is_sent", partialFilterExpression={"state": "sending"}),
    IndexModel([("booking_id", ASCENDING), ("as_of", ASCENDING)], name="mails_of_a_booking"),
]
VALIDATOR: Document = {
    "$jsonSchema": {
        "required": ["booking_id", "kind", "message_id", "state", "due_at", "outbox"],
        "properties": {
            "state": {"enum": [*WAITING, "sent", "failed"]},
            "message_id": {"bsonType": "string"},
            "due_at": {"bsonType": "date"},
        },
    }
}
#: How long a mail is tried.
GIVE_UP = timedelta(hours=72)
LONGEST_PAUSE = timedelta(hours=1)
#: Who sends a mail has it to himself for so long, and says again and again that he is at it. The database's clock
#: measures it, so that it is the same for every process.
CLAIM = timedelta(seconds=20)
#: By then a confirmation has been entered, if there is one.
CONFIRMATION_COMES = timedelta(minutes=10)
A_MOMENT = timedelta(seconds=2)

#: A mail in the ledger: `_id` is `<what it is about>:<kind>`.
Entry = dict[str, Any]


class Request(NamedTuple):
    """A mail that is wanted."""

    about: str  #: the id of the booking, or of the user with the event's: with `kind` it names the mail for ever
    kind: str  #: `confirmation`, `resend-1`, `cancellation`, `reschedule-3`, ...
    document: str  #: which mail is written, see mail.py
    user_id: str
    data: dict[str, Any]  #: what it tells
    as_of: datetime  #: when that was so
    booking_id: str | None = None
    urgent: bool = False  #: somebody waits in front of the screen
    until: datetime | None = None  #: afterwards nobody needs it
    request_id: str | None = None
    event_id: str | None = None  #: of the event that asks for it


class Entered(NamedTuple):
    entry: Entry
    is_new: bool


class Backlog(NamedTuple):
    mails: int  #: that wait
    oldest: datetime | None  #: when the one that waits longest was entered


class Ledger:
    """The collection `ledger`, an entry for each mail."""

    def __init__(self, mongo: Database[Document], domain: str, first_pause: timedelta = timedelta(seconds=5)) -> None:
        self._database = mongo
        self._ledger = prepare(mongo, "ledger", INDEXES, VALIDATOR)
        self._domain = domain
        self._first_pause = first_pause

    def now(self) -> datetime:
        """The time by which mails are due: the database's, the same for every process."""
        return database.now(self._database)

    def enter(self, wanted: Request, now: datetime, event: Envelope | None = None) -> Entered:
        """
        Enter the mail, to be sent at once, unless it is there: then nothing changes. *event* tells of it.

        Returns:
            the entry, with the Message-ID this mail has for ever.
        """
        give_up_at, hand = now + GIVE_UP, uuid4().hex
        entered: Document = {
            "booking_id": wanted.booking_id,
            "kind": wanted.kind,
            "document": wanted.document,
            "message_id": f"<{wanted.about}.{wanted.kind}@{self._domain}>",
            "user_id": wanted.user_id,
            "data": wanted.data,
            "as_of": wanted.as_of,
            "request_id": wanted.request_id,
            "state": "queued",
            "urgency": 0 if wanted.urgent else 1,
            "attempts": 0,
            "entered_at": now,
            "entered_by": hand,
            "due_at": now,
            "give_up_at": min(give_up_at, wanted.until) if wanted.until else give_up_at,
            "slow": False,
            "reason": None,
            "outbox": [] if event is None else [event],
        }
        key = {"_id": _id(wanted.about, wanted.kind)}
        entry: Entry = self._ledger.find_one_and_update(
            key, {"$setOnInsert": entered}, upsert=True, return_document=ReturnDocument.AFTER
        )  # type: ignore[assignment]  # an upsert always gives a document
        return Entered(entry, entry["entered_by"] == hand)

    def claim(self, now: datetime, slow_too: bool = True) -> Entry | None:
        """
        Take the mail that is due for sending: urgent ones first, then the one that has been due longest.

        Unless *slow_too*, only one that the mail server did not keep waiting last time.
        """
        due = {**QUEUED, "due_at": {"$lte": now}}
        if not slow_too:
            due["slow"] = False
        return self._ledger.find_one_and_update(
            due,
            [
                {
                    "$set": {
                        "state": "sending",
                        "claim": uuid4().hex,
                        "claimed_until": _after(CLAIM),
                        "attempts": {"$add": ["$attempts", 1]},
                    }
                }
            ],
            sort=[("urgency", ASCENDING), ("due_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )

    def keep(self, claims: Collection[str]) -> None:
        """Whoever made these claims is still at it."""
        if claims:
            ours = {"state": "sending", "claim": {"$in": list(claims)}}
            self._ledger.update_many(ours, [{"$set": {"claimed_until": _after(CLAIM)}}])

    def take_back(self) -> int:
        """What a process has left behind is due again; gives how many mails that are."""
        left = {"state": "sending", "$expr": {"$lt": ["$claimed_until", "$$NOW"]}}
        return self._ledger.update_many(left, {"$set": {"state": "queued"}}).modified_count

    def waits_until(self, entry: Entry, now: datetime) -> datetime | None:
        """
        Until when *entry* waits for another mail about the same booking: what happened earlier is told earlier.

        The first is the confirmation. Its event may come after a later one; it comes within minutes.
        """
        booking_id = entry["booking_id"]
        if booking_id is None or entry["kind"] == "confirmation":
            return None
        earlier = {"booking_id": booking_id, "as_of": {"$lt": entry["as_of"]}, "state": {"$in": WAITING}}
        before = self._ledger.find_one(earlier, {"due_at": 1}, sort=[("as_of", DESCENDING)])
        if before is None:
            confirmed = self._ledger.find_one({"_id": _id(booking_id, "confirmation")}, {"_id": 1})
            if confirmed is not None or now > entry["entered_at"] + CONFIRMATION_COMES:
                return None
        return max(now, before["due_at"] if before else now) + A_MOMENT

    def record_sent(self, entry: Entry, event: Envelope | None, now: datetime) -> None:
        """The mail server has taken it, once and for all; *event* tells whoever waits for that."""
        # Not only while it is ours: that it was taken is true, whoever has claimed it since.
        waiting = {"_id": entry["_id"], "state": {"$in": WAITING}}
        self._end(waiting, {"state": "sent", "sent_at": now, "reason": None}, event, forget=True)

    def record_failed(self, entry: Entry, reason: str, event: Envelope | None, now: datetime) -> None:
        """It is not tried again by itself; *reason* says why. Its data stay, should an operator want to try."""
        ended = {"state": "failed", "failed_at": now, "reason": reason}
        self._end(_ours(entry), ended, event, forget=entry["booking_id"] is None)

    def try_again(self, entry: Entry, reason: str, now: datetime, slow: bool = False) -> bool:
        """
        It was not taken; it is due again after a pause twice as long as the last.

        Returns:
            False when it is too late for that, and nothing was changed.
        """
        pause = min(self._first_pause * 2 ** min(entry["attempts"] - 1, 30), LONGEST_PAUSE)
        # A pause of its own for each: what a dead server has refused at once does not come back at once.
        due_at = now + pause * random.uniform(0.8, 1.2)
        if due_at > entry["give_up_at"]:
            return False
        changed = {"state": "queued", "due_at": due_at, "reason": reason, "slow": slow}
        self._ledger.update_one(_ours(entry), {"$set": changed})
        return True

    def put_off(self, entry: Entry, until: datetime) -> None:
        """It was not tried: something else comes first. That is no attempt."""
        changed = {"$set": {"state": "queued", "due_at": until}, "$inc": {"attempts": -1}}
        self._ledger.update_one(_ours(entry), changed)

    def tell_again(self, entry: Entry, event: Envelope) -> None:
        """Tell once more how it ended, or that it is there, unless something is about to be told of it."""
        silent = {"_id": entry["_id"], "state": entry["state"], "outbox": []}
        self._ledger.update_one(silent, {"$push": {"outbox": event}})

    def find_waiting(self, mails: Collection[tuple[str, str]]) -> list[str]:
        """What those of *mails* (what it is about, kind) are about that are entered and have not ended."""
        ids = {_id(about, kind): about for about, kind in mails}
        waiting = self._ledger.find({"_id": {"$in": list(ids)}, "state": {"$in": WAITING}}, {"_id": 1})
        return [ids[entry["_id"]] for entry in waiting]

    def backlog(self) -> Backlog:
        oldest = self._ledger.find_one(QUEUED, {"entered_at": 1}, sort=[("entered_at", ASCENDING)])
        return Backlog(self._ledger.count_documents(QUEUED), oldest["entered_at"] if oldest else None)

    def ping(self) -> dict[str, str]:
        """The state of the database."""
        return {"mongodb": database.state(self._database)}

    def _end(self, which: Document, ended: Document, event: Envelope | None, forget: bool) -> None:
        change: Document = {"$set": ended, "$unset": {"claim": "", "claimed_until": ""}}
        if forget:
            change["$unset"]["data"] = ""
        if event is not None:
            change["$push"] = {"outbox": event}
        self._ledger.update_one(which, change)


def _id(about: str, kind: str) -> str:
    """What names a mail for ever."""
    return f"{about}:{kind}"


def _ours(entry: Entry) -> Document:
    return {"_id": entry["_id"], "state": "sending", "claim": entry["claim"]}


def _after(pause: timedelta) -> Document:
    return {"$add": ["$$NOW", pause / timedelta(milliseconds=1)]}
