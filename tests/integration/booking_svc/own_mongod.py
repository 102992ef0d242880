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


def mongod() -> str:
    """The program."""
    wheel = Path(sysconfig.get_paths()["purelib"]) / "fiftyone" / "db" / "bin" / "mongod"
    return shutil.which("mongod") or str(wheel)


class OwnMongod:
    """A replica set of one, as in production; its journal goes to disk by itself twice a second, or when asked to."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it takes writes."""
        place = ["--dbpath", str(self._folder), "--port", str(self._port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        how = ["--replSet", replica_set.NAME, "--journalCommitInterval", "500", "--wiredTigerCacheSizeGB", "0.25"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([mongod(), *place, *how], stdout=log)
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
