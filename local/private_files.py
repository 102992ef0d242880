"""Files of NAME=value lines that only their owner may read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write(file: Path, text: str) -> None:
    """Replace *file* in one step by one with mode 0600; no reader sees half of it."""
    unfinished = file.with_name(file.name + ".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(os.fsencode(text))
    unfinished.replace(file)


def write_values(file: Path, values: Mapping[str, str]) -> None:
    """
    Write *values* as NAME=value lines.

    Raises:
        ValueError: a value holds a line break.
    """
    for name, value in values.items():
        if "\n" in value:
            raise ValueError(f"{name} holds a line break")
    write(file, "".join(f"{name}={value}\n" for name, value in values.items()))


def read_values(file: Path) -> dict[str, str]:
    """The values of *file*, empty when there is no such file."""
    if not file.exists():
        return {}
    lines = os.fsdecode(file.read_bytes()).split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line)
