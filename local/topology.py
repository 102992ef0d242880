"""The broker's exchanges and queues, declared before anything publishes to them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from local import console
from local.programs import python_environment
from local.readiness import LOG_LINES, last_lines
from local.settings import ROOT, StackFailed
from local.signals import StopSignals

SECONDS = 60


def apply(amqp_uri: str, passed_on: Mapping[str, str], log: Path, signals: StopSignals) -> None:
    """
    Run `python -m rabbitmq topology apply`, which may be repeated.

    Raises:
        StackFailed: it failed, or took too long.
    """
    began = time.monotonic()
    with log.open("wb") as output:
        command = subprocess.Popen(
            [sys.executable, "-m", "rabbitmq", "topology", "apply"],
            cwd=ROOT,
            env={**passed_on, **python_environment(), "AMQP_URI": amqp_uri},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while command.poll() is None and time.monotonic() < began + SECONDS:
            signals.check()
            time.sleep(0.05)
    finally:
        command.kill()
    if command.wait() != 0:
        raise StackFailed(
            "The topology could not be declared (python -m rabbitmq topology apply). "
            f"The end of {log}:\n{last_lines(log, LOG_LINES)}"
        )
    console.done("topology", time.monotonic() - began)
