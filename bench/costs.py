"""What each program of a stack takes of the machine, by the kernel's account in /proc."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SUPERVISOR = "supervisor"
TICKS = os.sysconf("SC_CLK_TCK")


class Costs(NamedTuple):
    """Seconds of CPU since the stack began, and bytes of memory now, by program."""

    cpu: Mapping[str, float]
    memory: Mapping[str, int]  #: proportional set size: what processes share is counted once

    def since(self, earlier: "Costs") -> dict[str, float]:
        """Seconds of CPU that each program has taken since then."""
        return {program: seconds - earlier.cpu.get(program, 0.0) for program, seconds in self.cpu.items()}


def for_each(spent: Mapping[str, float], number: int) -> dict[str, float]:
    """Milliseconds of CPU for each of *number*, by program, where all of them took the seconds *spent*."""
    return {program: 1000 * spent[program] / number for program in sorted(spent)}


def read(processes: Mapping[str, int], memory: bool = False) -> Costs:
    """
    The costs of *processes* (name -> pid) and of what they have started; copies (`x-1`, `x-2`) count as one program.

    What has started them all, and writes their logs, is SUPERVISOR. Memory takes its time to read, and is left out
    unless asked for.
    """
    parents = _parents()
    cpu: defaultdict[str, float] = defaultdict(float)
    taken: defaultdict[str, int] = defaultdict(int)
    names = {pid: _program(name) for name, pid in processes.items()}
    names |= {parents[pid]: SUPERVISOR for pid in processes.values() if pid in parents}
    for pid in parents:
        if program := _program_of(pid, names, parents):
            cpu[program] += _cpu_seconds(pid)
            taken[program] += _memory(pid) if memory else 0
    return Costs(cpu, taken)


def _program(process: str) -> str:
    name, dash, number = process.rpartition("-")
    return name if dash and number.isdigit() else process


def _parents() -> dict[int, int]:
    """The parent of each process."""
    pids = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return {pid: int(fields[1]) for pid in pids if (fields := _stat(pid))}


def _program_of(pid: int, names: Mapping[int, str], parents: Mapping[int, int]) -> str | None:
    """What of *names* the process, or the nearest of those that started it, is."""
    while pid and pid not in names:
        pid = parents.get(pid, 0)
    return names.get(pid)


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) after the name: state, ppid, ...; empty when the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    """Its own, and that of its children that have ended: utime, stime, cutime, cstime."""
    return sum(int(ticks) for ticks in _stat(pid)[11:15]) / TICKS


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
