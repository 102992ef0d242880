"""A server's disk is full: everybody is answered in time, nothing is lost, and it goes on when there is room again."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests import local_stack
from tests.e2e.api_client import Box
from tests.e2e.outages import IN_TIME, Outage, book_until, end
from tests.e2e.test_kills import must_have_lost_nothing, selling
from tests.polling import poll

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

#: The folder of each server, how large its disk is, and how much of that stays free when it is full, in MB. RabbitMQ
#: counts a disk as full while half a GB is left.
DISKS = {"mongodb": (700, 0), "redis": (64, 0), "redis-sessions": (64, 0), "rabbitmq": (900, 300)}
#: Seconds that a disk is full.
FULL = 20


class Disk:
    """A small disk at *folder*; needs root, or sudo."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self._folder, self._filler = folder, folder / "filler"
        folder.mkdir(mode=0o700)
        self._run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700,uid={os.getuid()}", "tmpfs", str(folder))

    def fill(self, left: int) -> None:
        """Until only *left* MB are free."""
        room = os.statvfs(self._folder)
        size = room.f_bavail * room.f_frsize - left * 2**20
        with self._filler.open("wb", buffering=0) as filler, suppress(OSError):
            while size > 0:
                size -= filler.write(bytes(min(size, 4096 if size < 2**20 else 2**20))) or 0

    def clear(self) -> None:
        self._filler.unlink()

    def end(self) -> None:
        self._run("umount", "--lazy", str(self._folder))

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run([*([] if os.geteuid() == 0 else ["sudo", "-n"]), *command], check=True)


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, dict[str, Disk]]]:
    """A stack whose servers have small disks of their own."""
    data_dir = tmp_path_factory.mktemp("small") / "data"
    data_dir.mkdir(mode=0o700)
    with ExitStack() as afterwards:
        disks = {}
        for name, (megabytes, _) in DISKS.items():
            disks[name] = Disk(data_dir / name, megabytes)
            afterwards.callback(disks[name].end)
        stack = local_stack.start(data_dir)
        afterwards.callback(stack.kill)
        yield Box(stack), disks


@contextmanager
def full(disk: Disk, left: int) -> Iterator[None]:
    disk.fill(left)
    try:
        yield
    finally:
        disk.clear()


@pytest.mark.parametrize("server", DISKS)
def test_full_disk_is_a_503_in_time_and_loses_nothing(
    disks: tuple[Box, dict[str, Disk]], server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    box, disk = disks[0], disks[1][server]
    outage = Outage()
    with selling(box, buyers=8) as sales:
        poll(lambda: len(sales.booked) > 20, 30)
        with full(disk, DISKS[server][1]):
            over = time.monotonic() + FULL

            def is_over() -> bool:
                if server == "mongodb":
                    write_out(box)
                return time.monotonic() > over

            book_until(sales, is_over, outage)
        end(sales, outage)
    with capsys.disabled():
        print(f"\n  {server:15} full {outage}")
    assert outage.longest < IN_TIME
    assert outage.said[503], "it was not full"
    must_have_lost_nothing(sales)


def write_out(box: Box) -> None:
    """MongoDB writes into its files once a minute, or when it is asked to."""
    with (
        suppress(PyMongoError),
        MongoClient[dict[str, Any]](box.stack.mongo_uri, serverSelectionTimeoutMS=500, timeoutMS=2000) as mongo,
    ):
        mongo.admin.command("fsync")
