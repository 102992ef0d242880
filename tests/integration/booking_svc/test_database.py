"""The kind of MongoDB that bookings may be trusted to."""

import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from rabbitmq.database import Document, NotAReplicaSet, connect
from tests.local_stack import LocalStack, free_port
from tests.polling import poll


@pytest.fixture
def lone_mongod(tmp_path: Path) -> Iterator[str]:
    """The address of a mongod that is in no replica set."""
    wheel = Path(sysconfig.get_paths()["purelib"]) / "fiftyone" / "db" / "bin" / "mongod"
    program = shutil.which("mongod") or shutil.which(wheel)
    assert program, "no mongod here"
    port = free_port()
    place = ["--dbpath", str(tmp_path), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen([program, *place], stdout=log) as process:
        yield f"mongodb://127.0.0.1:{port}/"
        process.terminate()


def test_mongodb_that_is_no_replica_set_is_refused(lone_mongod: str) -> None:
    def answers() -> bool:
        with MongoClient(lone_mongod, serverSelectionTimeoutMS=100) as client:
            try:
                return bool(client.admin.command("ping"))
            except PyMongoError:
                return False

    poll(answers, seconds=20)
    with pytest.raises(NotAReplicaSet, match="replica set"):
        connect(lone_mongod, "booking_svc")


def test_absent_mongodb_is_a_fault_within_five_seconds() -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(PyMongoError):
        connect(f"mongodb://127.0.0.1:{port}/?replicaSet=rs0", "booking_svc")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("scans", [False, True])
def test_only_a_scan_may_take_longer_than_a_silent_server(
    stack: LocalStack, new_database: Callable[[], Database[Document]], monkeypatch: pytest.MonkeyPatch, scans: bool
) -> None:
    database = new_database()
    database["things"].insert_many([{"_id": number} for number in range(30)])
    monkeypatch.setattr("rabbitmq.database.PATIENCE", 500)
    patient = connect(stack.mongo_uri, database.name, scans=scans)

    def read(each: int) -> int:
        """A batch of 5 documents, and for each document *each* milliseconds of the server's."""
        return len(list(patient["things"].find({"$where": f"sleep({each}); return true"}, batch_size=5)))

    if scans:
        assert read(40) == 30
    else:
        with pytest.raises(PyMongoError):
            read(40)
    began = time.monotonic()
    with pytest.raises(PyMongoError):
        read(1000)
    assert time.monotonic() - began < 3
