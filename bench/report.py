"""What was measured, as a table for people and as JSON for programs."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measure import Measured
from bench.scenarios import ECHO

#: The columns of CPU, and the programs in each; what is not named is `other`.
COLUMNS = {
    "gateway": ["gateway"],
    "broker": ["rabbitmq", "epmd"],
    "auth": ["auth_svc"],
    "concert": ["concert_svc"],
    "booking": ["booking_svc"],
    "mongod": ["mongod"],
    "redis": ["redis", "redis-sessions"],
    "logs": ["supervisor"],
    "relay": ["relay"],
    "mailer": ["mailer_svc", "smtp"],
    "wrk": ["wrk"],
}
LEFT = 18

HEADER = " ".join(
    [f"{'':{LEFT}}", f"{'/s':>6}", f"{'of echo':>7}", f"{'p50 ms':>7}", f"{'p99 ms':>7}", f"{'CPU ms':>7}", "=  "]
) + " ".join(f"{column:>7}" for column in COLUMNS)


def row(one: Measured, label: str = "") -> str:
    """A line below HEADER. CPU is a request's, in all without what works in the background, and by program."""
    ratio = f"{'':7}" if one.of_echo is None else f"{one.of_echo:7.2f}"
    figures = f"{one.rate:6.0f} {ratio} {one.p50:7.1f} {one.p99:7.1f} {one.cpu_in_all:7.2f}"
    parts = [sum(one.cpu.get(program, 0.0) for program in programs) for programs in COLUMNS.values()]
    line = f"{label or one.scenario:{LEFT}} {figures} =  " + " ".join(f"{part:7.2f}" for part in parts)
    return line + (f"  but {_listed(one.others)}" if one.others else "")


def _listed(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{number} x {name}" for name, number in sorted(counted.items()))


def echo_among(measured: Iterable[Measured]) -> Measured | None:
    return next((one for one in measured if one.scenario == ECHO), None)


def aftermath(backlog: Mapping[str, int], memory: Mapping[str, int]) -> str:
    """What is left to do in the background, and the memory in use."""
    programs = ", ".join(f"{program} {mebibytes(taken)}" for program, taken in sorted(memory.items()))
    return (
        f"Left in the background: {backlog['events']} events to publish, {backlog['mails']} mails to send.\n"
        f"Memory: {programs}; {mebibytes(sum(memory.values()))} in all."
    )


def mebibytes(number: int) -> str:
    return f"{number / 2**20:.0f} MiB"


def markdown(measured: Sequence[Measured]) -> str:
    """The same as a table in Markdown."""
    lines = ["| | /s | of echo | p50 ms | p99 ms | CPU ms | " + " | ".join(COLUMNS) + " |"]
    lines.append("|---" * (6 + len(COLUMNS)) + "|")
    for one in measured:
        ratio = "" if one.of_echo is None else f"{one.of_echo:.2f}"
        parts = [sum(one.cpu.get(program, 0.0) for program in programs) for programs in COLUMNS.values()]
        cells = [one.scenario, f"{one.rate:.0f}", ratio, f"{one.p50:.1f}", f"{one.p99:.0f}", f"{one.cpu_in_all:.2f}"]
        lines.append("| " + " | ".join([*cells, *(f"{part:.2f}" for part in parts)]) + " |")
    return "\n".join(lines)


def document(tables: Mapping[str, Sequence[Measured]]) -> str:
    """Tables in Markdown, each under its title."""
    return "\n".join(f"### {title}\n\n{markdown(measured)}\n" for title, measured in tables.items())


def machine() -> dict[str, Any]:
    """On what it was measured, and of which commit."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    models = [line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "commit": described.stdout.strip(),
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": models[0] if models else platform.machine(),
        "memory_mib": memory // 1024,
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()
