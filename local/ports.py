"""Ports on 127.0.0.1 for the private servers."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local.settings import StackFailed

LOWEST = 20000
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def refusal(port: int, host: str = "127.0.0.1") -> str | None:
    """Why no server could listen on *port* of *host* now, in the system's words; None if one could."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: connections of an earlier run that are still closing don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
        return None


@contextmanager
def claimed(port: int, host: str) -> Iterator[None]:
    """
    Keep other stacks of this machine off *port* of *host* for the time of the block.

    Seconds pass between the first look at the port and the moment the gateway takes it. A second stack that is told
    the same port in between would hear "ready" from the first one's gateway.

    Raises:
        StackFailed: another stack has it, or another program listens there.
    """
    with _claim(port, host) as is_ours:
        if not is_ours:
            raise StackFailed(_taken(port, host, "Another stack was told to listen there"))
        require_free(port, host)
        yield


@contextmanager
def _claim(port: int, host: str) -> Iterator[bool]:
    """Whether *port* is this stack's for the time of the block."""
    # A name in Linux' abstract namespace: nothing is left on the disk, and it ends with this process.
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            claim.bind(f"\0concert-tickets:{host}:{port}")
        except OSError:
            yield False
        else:
            yield True


def require_free(port: int, host: str) -> None:
    """
    Carry on if a server can listen on *port* of *host*.

    Raises:
        StackFailed: none can.
    """
    if reason := refusal(port, host):
        raise StackFailed(_taken(port, host, reason))


def _taken(port: int, host: str, reason: str) -> str:
    return (
        f"The API cannot listen on {host}:{port}: {reason}. "
        f"Choose another port, for example: make run PORT={port + 1 if port < 65535 else 3000}"
    )


@contextmanager
def chosen(names: Iterable[str], remembered: Mapping[str, int], api: int = 0) -> Iterator[dict[str, int]]:
    """
    Give each of *names* a free port, but not *api*: the remembered one where it is still free, else a random one.

    The ports lie below the range that the kernel takes for outgoing connections, so that no connection can occupy one
    between two runs. For the time of the block no other stack chooses them.
    """
    given: dict[str, int] = {}
    with ExitStack() as claims:
        for name in names:
            port = remembered.get(name)
            while port in (None, api) or refusal(port) or not claims.enter_context(_claim(port, "127.0.0.1")):
                port = random.randrange(LOWEST, _lowest_ephemeral())
            given[name] = port
        yield given


def remembered(file: Path) -> dict[str, int]:
    """The ports of the run before, by name; none when there was no run."""
    return json.loads(file.read_text()) if file.exists() else {}


def remember(file: Path, ports: Mapping[str, int]) -> None:
    """Keep *ports* for the next run."""
    file.write_text(json.dumps(dict(ports), indent=2) + "\n")


def _lowest_ephemeral() -> int:
    try:
        lowest = int(EPHEMERAL_RANGE.read_text().split()[0])
    except OSError:
        return 32768
    return lowest if lowest > LOWEST + 1000 else 32768
