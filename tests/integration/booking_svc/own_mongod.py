"""A mongod of a test's own: to be killed."""

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from pymongo.database import Database

from local import replica_set
from local.checks import NoAnswer
from rabbitmq import database
from rabbitmq.database import Document
from tests.local_stack import free_port
from tests.polling import poll


def start_mongod(folder: Path, port: int, *how: str) -> subprocess.Popen[bytes]:
    """A member of a replica set, with its data and its log in *folder*."""
    wheel = Path(sysconfig.get_paths()["purelib"]) / "fiftyone" / "db" / "bin" / "mongod"
    program = shutil.which("mongod") or str(wheel)
    place = ["--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([program, *place, "--replSet", replica_set.NAME, *how], stdout=log)


class OwnMongod:
    """A replica set of one, as in production; its journal goes to disk by itself twice a second, or when asked to."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it takes writes."""
        how = ["--journalCommitInterval", "500", "--wiredTigerCacheSizeGB", "0.25"]
        self._process = start_mongod(self._folder, self._port, *how)
        poll(self._takes_writes, seconds=60, every=0.1)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def connect(self, **concerns: Any) -> Database[Document]:
        """Its database as ours are, or with these concerns."""
        uri = f"mongodb://127.0.0.1:{self._port}/?replicaSet={replica_set.NAME}"
        return database.connect(uri, "booking_svc").with_options(**concerns)

    def _takes_writes(self) -> bool:
        try:
            replica_set.ensure(self._port)
        except NoAnswer:
            return False
        return True
