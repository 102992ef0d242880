"""A stack of the benchmark's own: `python -m local run` in a temporary folder, as ever but for what is said here."""

import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local import data_dir as files
from local import ports, private_files
from local.settings import ADDRESSES, PASSED_ON, ROOT
from local.supervisor import Supervisor

START_SECONDS, STOP_SECONDS = 120, 20
#: Checked and counted for each request as ever, and never reached.
RATES = dict.fromkeys(("RATELIMIT_READS", "RATELIMIT_WRITES", "RATELIMIT_ACCOUNTS"), "1000000 per second")
#: They work when nobody waits: buyers go first. What they take is told apart.
IN_THE_BACKGROUND, NICENESS = ("mailer_svc", "relay", "smtp"), 19
OF_ONE_STACK = ("HOST", "BOOKING_PROCESSES", "ADMIN_EMAIL", "ADMIN_PASSWORD", "TICKET_SIGNING_KEY")
THE_MACHINES = {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"}


class NoStack(Exception):
    """The stack did not start; the message is what it printed."""


class Stack:
    """A running stack; *facts* are those of its runtime.env, and the key that its tokens are signed with."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self.facts = facts
        self.api_url = facts["API_URL"]
        self.logs = Path(facts["DATA_DIR"]) / "logs"
        self._supervisor = Supervisor(Path(facts["DATA_DIR"]))

    def processes(self) -> dict[str, int]:
        """The process id of each supervised process."""
        return {process.name: process.pid for process in self._supervisor.processes() if process.pid}

    def stop(self, process: str) -> None:
        """Stop one process for good."""
        self._supervisor.stop(process)

    @contextmanager
    def background_rests(self) -> Iterator[None]:
        """Relay and mailer stand still during the block, and neither MongoDB nor the broker works for them."""
        resting = [pid for name, pid in self.processes().items() if name in IN_THE_BACKGROUND]
        try:
            for pid in resting:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in resting:
                os.kill(pid, signal.SIGCONT)

    def audit(self) -> tuple[bool, str]:
        """Whether every invariant holds, and what `make audit` says."""
        command = [sys.executable, "-m", "local", "audit"]
        environment = {**os.environ, "DATA_DIR": self.facts["DATA_DIR"]}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        return done.returncode == 0, done.stdout + done.stderr


@contextmanager
def running(**settings: str) -> Iterator[Stack]:
    """
    A stack with these *settings* beside the defaults, stopped and deleted at the end.

    Raises:
        NoStack
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        data_dir, output = Path(folder) / "data", Path(folder) / "output"
        key = secrets.token_hex(32)
        environment = {**_environment(data_dir), **RATES, "JWT_SECRET_KEY": key, **settings}
        with output.open("wb") as opened:
            process = subprocess.Popen(
                # It stops when this process ends, however it ends.
                [sys.executable, "-m", "local", "run", "--under-make"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=opened,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(lambda: "Ready." in output.read_text(errors="replace"), process, output)
            facts = private_files.read_values(files.runtime_file(data_dir))
            stack = Stack({**facts, "JWT_SECRET_KEY": key})
            _give_way(stack.processes())
            yield stack
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _environment(data_dir: Path) -> dict[str, str]:
    """This process' own, without what belongs to another stack."""
    others = {*ADDRESSES, *PASSED_ON, *OF_ONE_STACK} - THE_MACHINES
    kept = {name: value for name, value in os.environ.items() if name not in others and not name.endswith("_AMQP_URI")}
    return {**kept, "DATA_DIR": str(data_dir), "PORT": str(free_port())}


def free_port() -> int:
    """A port that nobody listens at."""
    port = random.randrange(10_000, ports.LOWEST)
    while ports.refusal(port):
        port = random.randrange(10_000, ports.LOWEST)
    return port


def wait_for(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], output: Path) -> None:
    """
    Wait until it is.

    Raises:
        NoStack: the process has ended, or time is up; with its *output*.
    """
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoStack(output.read_text(errors="replace"))
        time.sleep(0.1)


def _give_way(processes: Mapping[str, int]) -> None:
    for name, pid in processes.items():
        if name in IN_THE_BACKGROUND:
            # Linux: of each thread apart.
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), NICENESS)
