"""Where each process shows what it counts, and the file that tells Prometheus so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from local.programs import Program

#: The programs that count. What each process counts stays with it: two of a service have a port each.
PROGRAMS = ("auth_svc", "concert_svc", "booking_svc", "mailer_svc", "relay")
PREFIX = "metrics-"


def processes(booking_processes: int) -> list[str]:
    """Every process that counts, with so many of booking_svc."""
    copies = {"booking_svc": booking_processes}
    programs = (Program(name, [], copies=copies.get(name, 1)) for name in PROGRAMS)
    return [process for program in programs for process in program.processes]


def port_name(process: str) -> str:
    """What the port of *process* is called in ports.json."""
    return PREFIX + process


def with_ports(programs: Iterable[Program], ports: Mapping[str, int]) -> list[Program]:
    """*programs*, those that count things with a METRICS_PORT for each of their processes."""
    return [replace(program, each=_environments(program, ports)) for program in programs]


def _environments(program: Program, ports: Mapping[str, int]) -> tuple[dict[str, str], ...]:
    counts = program.name in PROGRAMS
    return tuple({"METRICS_PORT": str(ports[port_name(process)])} if counts else {} for process in program.processes)


def write_targets(file: Path, ports: Mapping[str, int]) -> None:
    """Write what Prometheus reads by `file_sd_configs`: each process' address, and its name as a label."""
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"process": name.removeprefix(PREFIX)}}
        for name, port in ports.items()
        if name.startswith(PREFIX)
    ]
    file.write_text(json.dumps(targets, indent=2) + "\n")
