"""
What may go wrong: a fault strikes, lasts, and is over. Each is of one process, server or cable at a time.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pika
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis

from local import checks
from local.processes import children
from rabbitmq.names import BATCHED, batch_queue, rpc_queue
from rabbitmq.topology import SUBSCRIPTIONS
from tests.chaos.clocks import Clock
from tests.chaos.rigging import Rigging, running
from tests.e2e.api_client import Box
from tests.e2e.test_messaging import everything_three_times
from tests.integration.rabbitmq.rabbitmqctl import memory_alarm, rabbitmqctl
from tests.polling import poll
from tests.tcp_proxy import TcpProxy

OURS = ("auth_svc", "concert_svc", "booking_svc-1", "booking_svc-2", "mailer_svc", "relay")
#: The variable that holds a server's address.
ADDRESSES = {
    "redis": "REDIS_URL",
    "redis-sessions": "SESSION_REDIS_URL",
    "mongod": "MONGO_URI",
    "rabbitmq": "AMQP_URI",
    "smtp": "SMTP_URL",
}
SERVERS = tuple(ADDRESSES)
#: Seconds that something stands still: shorter and longer than the relay's lease (3 s) and a request (4 s).
STILL = (0.3, 6.0)
EVENTS = sorted({subscription.queue for subscription in SUBSCRIPTIONS})
CALLED = ("auth_svc", "concert_svc", "booking_svc")
#: Messages of a queue that are held back at once.
HELD_BACK = 5
#: Seconds that a cable is cut.
CUT = (0.3, 3.0)
#: How many seconds a clock jumps: as those of two machines may differ, and as nobody's should.
CLOCKS = {
    "clock seconds ahead": (2, 50),
    "clock seconds behind": (-50, -2),
    "clock minutes ahead": (120, 2400),
    "clock minutes behind": (-2400, -120),
}
#: Seconds until it is set right.
WRONG = (1.0, 6.0)


@dataclass(frozen=True)
class Fault:
    """*strike* returns when it is over, as far as whoever caused it can tell."""

    kind: str  #: kill, stand still, stop in order, lose data, cut, ...
    target: str
    strike: Callable[[], None]
    is_ours: bool  #: one of our processes; others serve on

    @property
    def name(self) -> str:
        return f"{self.kind} {self.target}"


def all_faults(rigging: Rigging, chance: random.Random) -> list[Fault]:
    """Every fault there is, once; *chance* says how long each lasts."""
    box, faults = rigging.box, []
    for name in (*OURS, "gateway", *SERVERS):
        ours = name not in SERVERS
        faults += [
            Fault("kill", name, lambda name=name: _end(box, name, signal.SIGKILL), ours),
            Fault("stop in order", name, lambda name=name: _end(box, name, signal.SIGTERM), ours),
            Fault("stand still", name, lambda name=name: _stand_still(box, name, chance.uniform(*STILL)), ours),
        ]
    faults += [
        Fault("kill", "a gateway worker", lambda: _kill_worker(box, chance), True),
        Fault("lose data", "redis", lambda: _flush(box.stack.redis_url), False),
        Fault("cut", "redis", lambda: _hang_up(box.stack.redis_url), False),
        Fault("cut", "redis-sessions", lambda: _hang_up(box.stack.session_redis_url), False),
        Fault("cut", "rabbitmq", lambda: _close_connections(box), False),
        Fault("refuse", "rabbitmq", lambda: _alarm(box, chance.uniform(1, 4)), False),
        Fault("repeat", "events", lambda: _repeat(box, chance.uniform(1, 4)), False),
        Fault("delay", "events", lambda: _hold_back(box, EVENTS, chance.uniform(*STILL)), False),
        *(
            Fault(
                "delay",
                f"requests to {name}",
                lambda name=name: _hold_back(box, requests_to(name), chance.uniform(*STILL)),
                False,
            )
            for name in CALLED
        ),
        Fault("step down", "mongod", lambda: _step_down(box), False),
    ]
    for between, cable in sorted(rigging.cables.items()):
        faults += [
            Fault("cut", between, lambda cable=cable: _cut(cable, chance.uniform(*CUT)), False),
            Fault("stall", between, lambda cable=cable: _stall(cable, chance.uniform(*STILL)), False),
        ]
    for name, clock in sorted(rigging.clocks.items()):
        faults += [
            Fault(
                kind, name, lambda clock=clock, off=off: _set(clock, chance.uniform(*off), chance.uniform(*WRONG)), True
            )
            for kind, off in CLOCKS.items()
        ]
    return faults


def _pid(box: Box, name: str) -> int:
    return poll(lambda: running(box).get(name), 60, every=0.05)


def _end(box: Box, name: str, by: signal.Signals) -> None:
    """Over when another runs in its place; a server answers, too."""
    pid = _pid(box, name)
    os.kill(pid, by)
    poll(lambda: running(box).get(name, pid) != pid, 60, every=0.05)
    if name in SERVERS:
        poll(lambda: _answers(box, name), 120, every=0.05)


def _answers(box: Box, server: str) -> bool:
    address = ADDRESSES[server]
    try:
        checks.CHECKS[address](box.stack.values[address])
    except checks.NoAnswer:
        return False
    return True


def _stand_still(box: Box, name: str, seconds: float) -> None:
    with _frozen(_family(box, name)):
        time.sleep(seconds)


def _family(box: Box, name: str) -> list[int]:
    """The gateway is several processes."""
    pid = _pid(box, name)
    return [pid, *children(pid)] if name == "gateway" else [pid]


@contextmanager
def _frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _kill_worker(box: Box, chance: random.Random) -> None:
    workers = poll(lambda: children(_pid(box, "gateway")), 60, every=0.05)  # it may have just begun
    os.kill(chance.choice(workers), signal.SIGKILL)


def _flush(url: str) -> None:
    with Redis.from_url(url) as redis:
        redis.flushall()  # our own, of this run


def _hang_up(url: str) -> None:
    """The server ends every connection."""
    with Redis.from_url(url) as redis:
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _close_connections(box: Box) -> None:
    rabbitmqctl(box.stack, "close_all_connections", "cut by the nemesis")


def _cut(cable: TcpProxy, seconds: float) -> None:
    """All that is on its way is gone, and whoever connects is turned away."""
    cable.cut(refusing=True, reset=True)
    time.sleep(seconds)
    cable.mend()


def _stall(cable: TcpProxy, seconds: float) -> None:
    """Nothing arrives, and nobody is told; then all of it does."""
    cable.clog()
    time.sleep(seconds)
    cable.mend()


def _set(clock: Clock, off: float, seconds: float) -> None:
    """It jumps, and jumps back."""
    clock.set(off)
    time.sleep(seconds)
    clock.set(0)


def _alarm(box: Box, seconds: float) -> None:
    with memory_alarm(box.stack):
        time.sleep(seconds)


def _repeat(box: Box, seconds: float) -> None:
    """Each event that is told meanwhile comes three times."""
    until = time.monotonic() + seconds
    with everything_three_times(box) as again:
        while time.monotonic() < until:
            again()
            time.sleep(0.05)


def requests_to(service: str) -> list[str]:
    """The queues of the requests to it, alone and in batches."""
    return [rpc_queue(service), *([batch_queue(service)] if service in BATCHED else [])]


def _hold_back(box: Box, queues: list[str], seconds: float) -> None:
    """The first few messages come so much later, those behind them overtake them; each is delivered a second time."""
    connection = pika.BlockingConnection(pika.URLParameters(box.stack.amqp_uri))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=HELD_BACK)
    for queue in queues:
        channel.basic_consume(queue, lambda *_: None, arguments={"x-priority": 10})  # before whom they are meant for
    connection.process_data_events(time_limit=0)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        connection.process_data_events(time_limit=left)
    connection.close()  # what was not acknowledged goes back


def _step_down(box: Box) -> None:
    """The only primary is none for a second; over when it is one again."""
    with MongoClient(box.stack.mongo_uri, serverSelectionTimeoutMS=30_000) as mongo:
        try:
            mongo.admin.command("replSetStepDown", 1, force=True)
        except PyMongoError:
            pass  # it hangs up on whoever says so, in some versions
        poll(lambda: mongo.admin.command("hello").get("isWritablePrimary"), 60, every=0.1)
