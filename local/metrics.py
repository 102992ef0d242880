"""Where each process shows what it counts, and the file that tells Prometheus so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from local.programs import Program

#: What each counts stays with it: two processes of a service have a port each.
PROCESSES = ("auth_svc", "concert_svc", "booking_svc-1", "booking_svc-2", "mailer_svc", "relay")


def port_name(process: str) -> str:
    """What the port of *process* is called in ports.json."""
    return f"metrics-{process}"


def with_ports(programs: Iterable[Program], ports: Mapping[str, int]) -> list[Program]:
    """*programs*, those that count things with a METRICS_PORT for each of their processes."""
    return [replace(program, each=_environments(program, ports)) for program in programs]


def _environments(program: Program, ports: Mapping[str, int]) -> tuple[dict[str, str], ...]:
    names = [f"{program.name}-{number}" for number in range(1, program.copies + 1)]
    processes = names if program.copies > 1 else [program.name]
    return tuple(
        {"METRICS_PORT": str(ports[port_name(process)])} if process in PROCESSES else {} for process in processes
    )


def write_targets(file: Path, ports: Mapping[str, int]) -> None:
    """Write what Prometheus reads by `file_sd_configs`: each process' address, and its name as a label."""
    targets = [
        {"targets": [f"127.0.0.1:{ports[port_name(process)]}"], "labels": {"process": process}} for process in PROCESSES
    ]
    file.write_text(json.dumps(targets, indent=2) + "\n")
