"""What a process tree promises on Linux: it ends together, and nothing of it stays behind."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def end_with_parent(with_signal: signal.Signals) -> None:
    """Have the kernel send *with_signal* to this process when its parent ends, however it ends."""
    _prctl(PR_SET_PDEATHSIG, with_signal)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, instead of init."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_children(kill_at: float, give_up_at: float) -> None:
    """
    End whatever is still a child of this process, and what it leaves to us, until none is left.

    Each is asked by SIGTERM, and killed from *kill_at* on; returns at *give_up_at* at the latest. Both are monotonic
    seconds.
    """
    asked: set[int] = set()
    while time.monotonic() < give_up_at:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for child in children(os.getpid()):
            if time.monotonic() >= kill_at:
                os.kill(child, signal.SIGKILL)
            elif child not in asked:
                os.kill(child, signal.SIGTERM)
                asked.add(child)
        time.sleep(0.02)


def children(parent: int) -> list[int]:
    """The ids of the processes whose parent is *parent*."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (name, which may hold spaces and brackets) state ppid ..."
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found


def catches(process: int, number: signal.Signals) -> bool:
    """Whether *process* has a handler for the signal *number*; False when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
