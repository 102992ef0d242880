"""The private mongod as a replica set of one: transactions and majority writes need a set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from local.checks import NoAnswer, in_short

NAME = "rs0"

#: A code of src/mongo/base/error_codes.yml.
NOT_YET_INITIALIZED = 94


def ensure(port: int) -> None:
    """
    Make the mongod on *port* the primary of a replica set whose only member it is.

    Creates the set on a new mongod. Where the set still names the port of an earlier run, corrects
    it. Repeatable: call again until it returns.

    Raises:
        NoAnswer: it is not there, or not primary yet.
    """
    client: MongoClient[dict[str, Any]] = MongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=100, socketTimeoutMS=5000
    )
    try:
        with client:
            _ensure(client.admin.command, f"127.0.0.1:{port}")
            if not client.admin.command("hello")["isWritablePrimary"]:
                raise NoAnswer("not elected primary yet")
    except PyMongoError as error:
        raise NoAnswer(in_short(error)) from error


def _ensure(command: Callable[..., dict[str, Any]], address: str) -> None:
    try:
        config = command("replSetGetConfig")["config"]
    except OperationFailure as refused:
        if refused.code != NOT_YET_INITIALIZED:
            raise
        command("replSetInitiate", {"_id": NAME, "members": [{"_id": 0, "host": address}]})
        return
    if config["members"][0]["host"] != address:
        # A member that is not in its own set has no primary to ask: only force works here.
        config["members"][0]["host"] = address
        config["version"] += 1
        command("replSetReconfig", config, force=True)
