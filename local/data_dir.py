"""A stack's DATA_DIR: who has it, and what its files are called."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from local.settings import StackFailed


@contextmanager
def held(data_dir: Path) -> Iterator[IO[str]]:
    """
    Hold *data_dir* for one run, creating it where it is missing; yields the open file that holds it.

    The hold lasts until every process that has the file open has closed it.

    Raises:
        StackFailed: another run has it, or it cannot be written to.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = (data_dir / "run.lock").open("a+")
    except OSError as error:
        raise StackFailed(f"DATA_DIR cannot be used: {error}") from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackFailed(
                f"A stack already runs on {data_dir}, or is just stopping (make ps shows it). "
                "For a second one choose another folder and port: make run DATA_DIR=... PORT=..."
            ) from None
        yield lock


def ports_file(data_dir: Path) -> Path:
    """The ports of the private servers, kept for the next run."""
    return data_dir / "ports.json"


def metrics_file(data_dir: Path) -> Path:
    """Where Prometheus finds what each process counts, in its own form."""
    return data_dir / "metrics.json"


def secrets_file(data_dir: Path) -> Path:
    """The passwords, kept for good."""
    return data_dir / "secrets.env"


def runtime_file(data_dir: Path) -> Path:
    """The addresses in use, there as long as the stack runs."""
    return data_dir / "runtime.env"
