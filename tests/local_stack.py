"""A stack of the tests' own: `python -m local run` on a data directory and a port that nobody else has."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local import data_dir as files
from local import ports, private_files
from local.settings import ADDRESSES, PASSED_ON, ROOT
from rabbitmq.names import PROGRAMS

START_SECONDS = 100
STOP_SECONDS = 15
#: Seconds after which a confirmation without effect is told again.
OVERDUE = "5"
#: Seconds after its start when a concert is over, for a test to see it.
LASTS = "5"

#: What a developer may have exported for a stack of their own, or `make test` for its commands.
NOT_OURS = {
    *ADDRESSES,
    *(f"{program.upper()}_AMQP_URI" for program in PROGRAMS),
    "GATEWAY_REDIS_URL",
    *("HOST", "PORT", "BOOKING_PROCESSES", "DATA_DIR", "ADMIN_EMAIL", "ADMIN_PASSWORD", "JWT_SECRET_KEY"),
    *(set(PASSED_ON) - {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"}),
    *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"),
}


@dataclass
class LocalStack:
    """A running stack; its facts are those of runtime.env."""

    process: subprocess.Popen[bytes]
    output: Path
    values: Mapping[str, str]

    api_url = property(lambda self: self.values["API_URL"])
    amqp_uri = property(lambda self: self.values["AMQP_URI"])
    redis_url = property(lambda self: self.values["REDIS_URL"])
    gateway_redis_url = property(lambda self: self.values["GATEWAY_REDIS_URL"])
    session_redis_url = property(lambda self: self.values["SESSION_REDIS_URL"])
    mongo_uri = property(lambda self: self.values["MONGO_URI"])
    smtp_url = property(lambda self: self.values["SMTP_URL"])
    admin_email = property(lambda self: self.values["ADMIN_EMAIL"])
    admin_password = property(lambda self: self.values["ADMIN_PASSWORD"])
    mail_dir = property(lambda self: Path(self.values["MAIL_DIR"]))
    data_dir = property(lambda self: Path(self.values["DATA_DIR"]))

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which commands such as `make ps` mean this stack."""
        return environment(self.data_dir, int(self.values["PORT"]))

    def said(self) -> str:
        """What it has printed so far."""
        return self.output.read_text()

    def is_ready(self) -> bool:
        """Whether GET /health/ready answers 200."""
        return is_ready(self.api_url)

    def audit(self) -> subprocess.CompletedProcess[str]:
        """What `make audit` says of it."""
        program = [sys.executable, "-m", "local", "audit"]
        return subprocess.run(program, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60)

    def must_be_sound(self) -> None:
        """Fails when the audit finds anything."""
        audit = self.audit()
        assert audit.returncode == 0, audit.stdout + audit.stderr

    def stop(self, by: Callable[[], Any] | None = None, exit_code: int = 0) -> float:
        """
        Stop it by SIGTERM, or *by* other means, and return how many seconds that took.

        Fails when it does not exit with *exit_code* in time, or when any process of it is left.
        """
        began = time.monotonic()
        (by or self.process.terminate)()
        try:
            exited = self.process.wait(STOP_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_SECONDS + 5} s after it was asked to stop") from None
        took = time.monotonic() - began
        left = processes_of(self.data_dir)
        self.kill()
        assert not left, f"left behind: {left}\n{self.said()}"
        assert exited == exit_code, f"exit code {exited}\n{self.said()}"
        return took

    def kill(self) -> None:
        """End every process of it that there still is."""
        kill_all(self.data_dir)
        self.process.wait()


def environment(data_dir: Path, port: int, **more: str) -> dict[str, str]:
    """This process' environment without what belongs to another stack, and with what makes this one."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    return {
        **kept,
        "DATA_DIR": str(data_dir),
        "PORT": str(port),
        "RATELIMIT_ENABLED": "false",
        "CONFIRMATION_OVERDUE": OVERDUE,
        "CONCERT_LASTS": LASTS,
        **more,
    }


def free_port() -> int:
    """A port that no server has now, that no outgoing connection takes, and no stack for its private servers."""
    while ports.refusal(port := random.randrange(10_000, ports.LOWEST)):
        pass
    return port


def start(
    data_dir: Path,
    command: Sequence[str] = (sys.executable, "-m", "local", "run"),
    port: int | None = None,
    **more: str,
) -> LocalStack:
    """
    Start a stack on *data_dir* and wait until it is ready.

    Fails with all that it printed when it does not get there.
    """
    output = data_dir.with_name(data_dir.name + ".out")
    with output.open("wb") as opened:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(data_dir, port or free_port(), **more),
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while "Ready." not in output.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            kill_all(data_dir)
            raise AssertionError(f"{' '.join(command)} did not become ready:\n{output.read_text()}")
        time.sleep(0.05)
    return LocalStack(process, output, private_files.read_values(files.runtime_file(data_dir)))


def is_ready(api_url: str) -> bool:
    """Whether the platform at *api_url* answers GET /health/ready with 200."""
    try:
        urllib.request.urlopen(f"{api_url}/health/ready", timeout=10).close()
    except OSError:
        return False
    return True


def processes_of(data_dir: Path) -> list[str]:
    """The living processes that belong to the stack on *data_dir*, each as a line."""
    return [f"{process.pid} {' '.join(_command(process))}" for process in _processes_of(data_dir)]


def kill_all(data_dir: Path) -> None:
    """Kill every process that belongs to the stack on *data_dir*."""
    for process in _processes_of(data_dir):
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            pass


def _processes_of(data_dir: Path) -> list[psutil.Process]:
    """Every program that local/ starts has DATA_DIR in its environment, and so has what that starts."""
    return [process for process in psutil.process_iter() if _belongs(process, str(data_dir))]


def _belongs(process: psutil.Process, data_dir: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
            return False
        return process.environ().get("DATA_DIR") == data_dir or any(data_dir in word for word in process.cmdline())
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return ["(ended meanwhile)"]
