"""What an operator asks a running stack: `make ps`, `make shell`, `make audit`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from local import console, data_dir, private_files
from local.programs import python_environment
from local.settings import ROOT, Settings, StackFailed
from local.supervisor import NotRunning, Process, Supervisor


def ps(settings: Settings) -> None:
    """
    List the processes of the stack.

    Raises:
        StackFailed: none runs on this data directory.
    """
    console.say(table(_processes(settings)))


def table(processes: list[Process]) -> str:
    """Name, process id and state of each process, in columns."""
    rows = [("NAME", "PID", "STATE")]
    rows += [(process.name, str(process.pid or "-"), process.state) for process in processes]
    name_width, pid_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{name:<{name_width}}  {pid:>{pid_width}}  {state}" for name, pid, state in rows)


def shell(settings: Settings) -> NoReturn:
    """
    Become `nameko shell` on the broker of the stack.

    Raises:
        StackFailed: no stack runs on this data directory.
    """
    _processes(settings)
    runtime = private_files.read_values(data_dir.runtime_file(settings.data_dir))
    environment = {**settings.environment, **python_environment(), **runtime, "PYTHONWARNINGS": "ignore"}
    if not sys.stdin.isatty():
        environment["PYTHONSTARTUP"] = str(ROOT / "local" / "no_prompt.py")
    os.execve(sys.executable, [sys.executable, "-m", "rabbitmq.shell"], environment)


def audit(settings: Settings) -> NoReturn:
    """
    Become the audit of the stack.

    Raises:
        StackFailed: no stack runs on this data directory.
    """
    _processes(settings)
    runtime = private_files.read_values(data_dir.runtime_file(settings.data_dir))
    environment = {**settings.environment, **python_environment(), **runtime}
    os.execve(sys.executable, [sys.executable, "-m", "booking_svc.audit"], environment)


def _processes(settings: Settings) -> list[Process]:
    try:
        return Supervisor(settings.data_dir).processes()
    except NotRunning:
        raise StackFailed(f"No stack runs on {settings.data_dir}. make run starts one.") from None
