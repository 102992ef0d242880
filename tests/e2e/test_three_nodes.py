"""MongoDB as three nodes, as a careful operator has it: the primary is killed, or stands still, while all buy."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from local import replica_set
from tests import local_stack
from tests.e2e.api_client import Box
from tests.e2e.outages import IN_TIME, Outage, book_until, end
from tests.e2e.test_kills import must_have_lost_nothing, selling
from tests.integration.booking_svc.own_mongod import start_mongod
from tests.local_stack import free_port
from tests.polling import poll

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

#: How often each thing is done to whoever is primary then.
TIMES = 3


class Node:
    """One of three."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        self.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        how = ["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256", "--quiet"]
        self._process = start_mongod(self.folder, self.port, *how)

    def state(self) -> str:
        """`PRIMARY`, `SECONDARY`, or what else it says of itself; empty when it says nothing."""
        try:
            with MongoClient[dict[str, Any]](
                "127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500, timeoutMS=1000
            ) as node:
                hello = node.admin.command("hello")
        except PyMongoError:
            return ""
        return "PRIMARY" if hello["isWritablePrimary"] else "SECONDARY" if hello["secondary"] else "OTHER"

    def initiate(self, hosts: list[str]) -> None:
        members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
        with MongoClient[dict[str, Any]]("127.0.0.1", self.port, directConnection=True) as node:
            node.admin.command("replSetInitiate", {"_id": replica_set.NAME, "members": members})

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stand_still(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Box, list[Node]]]:
    folder = tmp_path_factory.mktemp("three")
    with ExitStack() as afterwards:
        nodes = []
        for number in range(3):
            nodes.append(Node(folder / str(number)))
            afterwards.callback(nodes[-1].kill)
        poll(lambda: all(node.state() for node in nodes), 60, every=0.2)
        nodes[0].initiate([node.host for node in nodes])
        poll(lambda: primary(nodes), 60, every=0.2)
        uri = f"mongodb://{','.join(node.host for node in nodes)}/?replicaSet={replica_set.NAME}"
        stack = local_stack.start(folder / "data", MONGO_URI=uri)
        afterwards.callback(stack.kill)
        yield Box(stack), nodes


def primary(nodes: list[Node]) -> list[Node]:
    """The one that is, once the two others follow it."""
    by_state = {state: [node for node in nodes if node.state() == state] for state in ("PRIMARY", "SECONDARY")}
    return by_state["PRIMARY"] if (len(by_state["PRIMARY"]), len(by_state["SECONDARY"])) == (1, 2) else []


@pytest.mark.parametrize(
    ("harm", "mend"), [(Node.kill, Node.start), (Node.stand_still, Node.go_on)], ids=["killed", "stands still"]
)
def test_another_takes_over_and_nothing_is_lost(
    platform: tuple[Box, list[Node]],
    harm: Callable[[Node], None],
    mend: Callable[[Node], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    box, nodes = platform
    outages = []
    with selling(box, buyers=8) as sales:
        for _ in range(TIMES):
            sold = len(sales.booked)
            poll(lambda: len(sales.booked) > sold + 20, 60)  # noqa: B023
            [struck] = poll(lambda: primary(nodes), 60, every=0.2)
            others = [node for node in nodes if node is not struck]
            outage = Outage()
            outages.append(outage)
            harm(struck)
            book_until(sales, lambda: any(node.state() == "PRIMARY" for node in others), outage)  # noqa: B023
            end(sales, outage)
            mend(struck)
    poll(lambda: primary(nodes), 60, every=0.2)
    with capsys.disabled():
        for outage in outages:
            print(f"\n  no primary {outage}", end="")
        print(f"\n  {len(sales.booked)} bookings, {len(sales.cancelled)} of them cancelled; lost 0")
    assert max(outage.longest for outage in outages) < IN_TIME
    must_have_lost_nothing(sales)
