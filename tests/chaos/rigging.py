"""
A running stack made ready for what a nemesis does: each way from a process of ours to a server is a cable of its own,
and each process has a clock of its own.

Nothing of the platform knows of it. Each process is told other addresses than before, by the file that its supervisor
starts it from, and is started once more.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from local import private_files
from local.supervisor import Supervisor
from rabbitmq.names import PROGRAMS
from tests import local_stack
from tests.chaos.clocks import Clock
from tests.e2e.api_client import Box
from tests.local_stack import LocalStack
from tests.polling import poll
from tests.tcp_proxy import TcpProxy, proxy

#: What a server is called, by the variable that holds its address.
SERVERS = {
    "AMQP_URI": "rabbitmq",
    "REDIS_URL": "redis",
    "SESSION_REDIS_URL": "redis-sessions",
    "MONGO_URI": "mongod",
    "SMTP_URL": "smtp",
}
#: Seconds until all processes work again.
STARTING = 60


@dataclass(frozen=True)
class Rigging:
    box: Box
    cables: dict[str, TcpProxy]  #: by what they lie between, `relay to mongod`
    clocks: dict[str, Clock]  #: by process


def running(box: Box) -> dict[str, int]:
    """The stack's processes that run, name -> pid."""
    return {process.name: process.pid for process in Supervisor(box.stack.data_dir).processes() if process.pid}


@contextmanager
def rigged(data_dir: Path, with_clocks: bool) -> Iterator[Rigging]:
    """
    A stack of its own for the time of the block, with a cable between each of our processes and each server.

    *with_clocks* needs libfaketime (`local/bootstrap chaos` installs it).
    """
    with ExitStack() as laid:
        stack = local_stack.start(data_dir)
        try:
            yield _rig(stack, laid, with_clocks)
        finally:
            stack.stop()


def _rig(stack: LocalStack, laid: ExitStack, with_clocks: bool) -> Rigging:
    rigging, processes = Rigging(Box(stack), {}, {}), []
    for program in PROGRAMS:
        file = stack.data_dir / "supervisor" / f"{program}.json"
        start = json.loads(file.read_text())
        for number, environment in enumerate(start["copies"], start=1):
            process = f"{program}-{number}" if len(start["copies"]) > 1 else program
            processes.append(process)
            for variable in SERVERS.keys() & environment.keys():
                cable = laid.enter_context(proxy(environment[variable]))
                rigging.cables[f"{process} to {SERVERS[variable]}"] = cable
                environment[variable] = _stays(cable.uri)
            if with_clocks:
                rigging.clocks[process] = clock = Clock(stack.data_dir / "clocks" / process)
                environment.update(clock.environment(environment))
        private_files.write(file, json.dumps(start))
    _start_again(rigging.box, processes)
    return rigging


def _stays(uri: str) -> str:
    """MongoDB tells its clients its own address, which leads past the cable; such a one stays with the given one."""
    return f"{uri}&directConnection=true" if uri.startswith("mongodb:") else uri


def _start_again(box: Box, processes: list[str]) -> None:
    before = running(box)
    for process in processes:
        os.kill(before[process], signal.SIGTERM)

    def are_others() -> bool:
        now = running(box)
        return all(now.get(process, before[process]) != before[process] for process in processes)

    poll(are_others, STARTING, every=0.1)
    poll(box.stack.is_ready, STARTING, every=0.1)
