"""
The kind of database an outbox may live in: a write is answered when a majority has it on disk.

MongoDB alone on its own (no replica set) has lost acknowledged writes in our kill tests, so it is refused.
"""

from datetime import datetime
from typing import Any, NamedTuple

import pymongo
from pymongo import ASCENDING, IndexModel, MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from rabbitmq import cursors

Document = dict[str, Any]
#: Milliseconds until a silent server is a fault. Below a caller's patience.
PATIENCE = 2500
#: Seconds until a server that is asked for its state counts as silent.
CHECKING = 1.0
#: Seconds for building indexes at start.
PREPARING = 60
NAMESPACE_EXISTS = 48


class NotAReplicaSet(Exception):
    """MongoDB must run as a replica set; one node is enough (mongod --replSet rs0, then rs.initiate())."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


def connect(uri: str, name: str, scans: bool = False) -> Database[Document]:
    """
    The database *name*, with majority reads and journaled majority writes.

    A server must have answered within `PATIENCE`; one that is asked for *scans*, must have sent the next documents.

    Raises:
        NotAReplicaSet: the server could lose what it has acknowledged.
        pymongo.errors.PyMongoError: no server answers.
    """
    client: MongoClient[Document] = MongoClient(
        uri,
        tz_aware=True,
        serverSelectionTimeoutMS=PATIENCE,
        connectTimeoutMS=PATIENCE,
        timeoutMS=None if scans else PATIENCE,
        socketTimeoutMS=PATIENCE,
        maxPoolSize=100,
        appname=name,
    )
    if "setName" not in client.admin.command("hello"):
        raise NotAReplicaSet
    return client.get_database(
        name, write_concern=WriteConcern("majority", j=True), read_concern=ReadConcern("majority")
    )


def prepare(
    database: Database[Document], name: str, indexes: list[IndexModel], validator: Document | None = None
) -> Collection[Document]:
    """The collection *name* with these indexes and this validator; repeating it changes nothing."""
    rules = validator or {}
    with pymongo.timeout(PREPARING):
        try:
            database.create_collection(name, check_exists=False, validator=rules)
        except OperationFailure as error:
            if error.code != NAMESPACE_EXISTS:
                raise
            database.command("collMod", name, validator=rules)  # it may have an older one
        collection = database[name]
        if indexes:
            collection.create_indexes(indexes)
    return collection


class Page(NamedTuple):
    documents: list[Document]
    next_cursor: str | None  #: None: that was the last page


def page(
    collection: Collection[Document], wanted: Document, by: str, direction: int, limit: int, cursor: str | None
) -> Page:
    """
    *limit* documents sorted by the date *by* and `_id`, after *cursor*: stable however many are added meanwhile.

    A cursor that cannot be read means the beginning; the gateway refuses such a one before.
    """
    query = wanted
    after = _read_cursor(cursor)
    if after is not None:
        moment, last_id = after
        beyond = "$gt" if direction == ASCENDING else "$lt"
        behind = [{by: {beyond: moment}}, {by: moment, "_id": {"$gt": last_id}}]
        query = {"$and": [wanted, {by: {f"{beyond}e": moment}}, {"$or": behind}]}  # the bound is for the index
    found = list(collection.find(query).sort([(by, direction), ("_id", ASCENDING)]).limit(limit + 1))
    if len(found) <= limit:
        return Page(found, None)
    return Page(found[:limit], cursor_after(found[limit - 1], by))


def cursor_after(document: Document, by: str) -> str:
    """The cursor for what comes after *document* in a list sorted by the date *by* and `_id`."""
    return cursors.write_by_date(document[by], document["_id"])


def _read_cursor(cursor: str | None) -> cursors.ByDate | None:
    try:
        return cursors.read_by_date(cursor or "")
    except cursors.UnreadableCursor:
        return None


def now(database: Database[Document]) -> datetime:
    """
    The time by the database's clock. Ours may be wrong, and another process' may be wrong in another way.

    Raises:
        PyMongoError
    """
    told: datetime = database.client.admin.command("hello", codec_options=database.codec_options)["localTime"]
    return told


def state(database: Database[Document]) -> str:
    """`ok`; `no primary`, when there is nobody to write to; `does not answer`. Known within a second."""
    try:
        with pymongo.timeout(CHECKING):
            database.client.admin.command("ping")
    except PyMongoError:
        servers = database.client.topology_description.server_descriptions().values()
        return "no primary" if any(server.is_server_type_known for server in servers) else "does not answer"
    return "ok"
