"""
Rollouts in MongoDB: how far a change of a concert has been brought to each of its bookings.

A document for each change, which says where to carry on: so whoever works at it may be killed at any point.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any, Literal

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.database import Database

from booking_svc.contract import Rollout
from rabbitmq.database import Document, prepare
from rabbitmq.times import to_wire, to_wire_or_none

Kind = Literal["cancellation", "reschedule", "reminder"]
State = Literal["running", "done", "stale"]

#: Milliseconds that a rollout is one process's after each batch; longer than a batch takes.
LEASE = 15_000
#: Rollouts in a list for an operator.
LISTED = 100
INDEXES = [
    IndexModel([("state", ASCENDING), ("next_at", ASCENDING)], name="what_to_do"),
    IndexModel([("begun_at", DESCENDING)], name="begun_last"),
    IndexModel([("concert_id", ASCENDING), ("begun_at", DESCENDING)], name="rollouts_of_a_concert"),
]

#: A rollout as MongoDB stores it: the contract's shape, with `cursor`, `by`, `request_id` and whose it is until when.
RolloutDocument = dict[str, Any]


class Rollouts:
    """The collection `rollouts`."""

    def __init__(self, database: Database[Document]) -> None:
        self._rollouts = prepare(database, "rollouts", INDEXES)

    def begin(self, concert_id: str, kind: Kind, version: int, total: int, by: str, request_id: str | None) -> None:
        """Have it done; repeating it changes nothing."""
        document: Document = {
            "concert_id": concert_id,
            "kind": kind,
            "version": version,
            "state": "running",
            "total": total,
            "looked_at": 0,
            "changed": 0,
            "by": by,
            "request_id": request_id,
            "cursor": None,
            "token": None,
        }
        begun: Document = {name: {"$literal": value} for name, value in document.items()}
        begun |= dict.fromkeys(("begun_at", "pass_begun_at", "next_at"), "$$NOW")
        is_there = {"$ne": [{"$type": "$state"}, "missing"]}
        self._rollouts.update_one(
            {"_id": f"{concert_id}:{kind}:{version}"},
            [{"$replaceWith": {"$cond": [is_there, "$$ROOT", {"$mergeObjects": ["$$ROOT", begun]}]}}],
            upsert=True,
        )

    def take(self) -> RolloutDocument | None:
        """One that is to be worked at, which is ours for `LEASE`; None when there is none."""
        return self._rollouts.find_one_and_update(
            {"state": "running", "$expr": {"$lte": ["$next_at", "$$NOW"]}},
            [{"$set": {"token": secrets.token_hex(8), "next_at": _from_now(LEASE)}}],
            sort=[("next_at", ASCENDING)],
            return_document=ReturnDocument.AFTER,
        )

    def save(
        self, rollout: RolloutDocument, cursor: str | None, looked_at: int, changed: int
    ) -> RolloutDocument | None:
        """A batch is done: carry on at *cursor*. None: somebody else has taken the rollout over."""
        done: Document = {
            "cursor": {"$literal": cursor},
            "looked_at": {"$add": ["$looked_at", looked_at]},
            "changed": {"$add": ["$changed", changed]},
            "next_at": _from_now(LEASE),
        }
        return self._update(rollout, done)

    def pass_again(self, rollout: RolloutDocument, after: timedelta) -> None:
        """Begin at the first booking again, in a while."""
        in_ms = after.total_seconds() * 1000
        again: Document = {
            "cursor": None,
            "pass_begun_at": _from_now(in_ms),
            "next_at": _from_now(in_ms),
            "looked_at": 0,
        }
        self._update(rollout, again)

    def give_back(self, rollout: RolloutDocument) -> None:
        """Let whoever wants carry on."""
        self._update(rollout, {"next_at": "$$NOW"})

    def end(self, rollout: RolloutDocument, state: State) -> None:
        """Nothing is left to do."""
        self._update(rollout, {"state": state, "finished_at": "$$NOW"})

    def _update(self, rollout: RolloutDocument, fields: Document) -> RolloutDocument | None:
        return self._rollouts.find_one_and_update(
            {"_id": rollout["_id"], "token": rollout["token"], "state": "running"},
            [{"$set": fields}],
            return_document=ReturnDocument.AFTER,
        )

    def newest(self, concert_id: str | None = None) -> list[Rollout]:
        """Those that were begun last, of the concert if one is named."""
        wanted = {} if concert_id is None else {"concert_id": concert_id}
        return [_as_rollout(found) for found in self._rollouts.find(wanted).sort("begun_at", DESCENDING).limit(LISTED)]


def _from_now(milliseconds: float) -> Document:
    return {"$add": ["$$NOW", milliseconds]}


def _as_rollout(document: RolloutDocument) -> Rollout:
    finished_at: datetime | None = document.get("finished_at")
    return Rollout(
        concert_id=document["concert_id"],
        kind=document["kind"],
        version=document["version"],
        state=document["state"],
        total=document["total"],
        looked_at=document["looked_at"],
        changed=document["changed"],
        begun_at=to_wire(document["begun_at"]),
        finished_at=to_wire_or_none(finished_at),
    )
