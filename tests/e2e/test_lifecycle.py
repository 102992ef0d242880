"""Starting, watching and stopping: what `make run`, `make ps` and `make shell` promise whoever types them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from local.settings import ROOT
from tests import local_stack
from tests.local_stack import LocalStack
from tests.polling import poll

#: The first of these tests waits for the first start of two stacks.
pytestmark = pytest.mark.timeout(300)

#: The promise is 15 on two cores of one's own: about 10 were measured. These tests share theirs with another stack, and
#: with whatever else the machine does.
SECOND_START_SECONDS = 30
STOP_SECONDS = 15
RUN = (sys.executable, "-m", "local", "run")


@pytest.fixture(scope="module", autouse=True)
def can_be_interrupted() -> None:
    """What a shell starts in the background ignores SIGINT, and so do its children, unless somebody listens."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder of a stack of this module's own; its path has a percent sign, as a person's may."""
    folder = tmp_path_factory.mktemp("lifecycle") / "100%-mine"
    yield folder
    local_stack.kill_all(folder)
    if not request.session.testsfailed:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def copy(stack: LocalStack, data_dir: Path) -> LocalStack:
    """A second stack beside *stack*; `test_sigterm_to_make_stops_everything` ends it."""
    return local_stack.start(data_dir, ("make", "run"))


@pytest.fixture(scope="module")
def second_starts() -> list[float]:
    """How many seconds each start on data that were there already took."""
    return []


def start_again(data_dir: Path, second_starts: list[float], *words: str) -> LocalStack:
    began = time.monotonic()
    again = local_stack.start(data_dir, words or RUN)
    second_starts.append(time.monotonic() - began)
    return again


def command(environment: Mapping[str, str], *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, input=stdin, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)


def pids(stack: LocalStack) -> dict[str, int]:
    """The processes that `make ps` lists as running, name -> pid."""
    listed = command(stack.environment, "make", "-s", "ps")
    assert listed.returncode == 0, listed.stderr
    heading, *rows = [line.split() for line in listed.stdout.splitlines()]
    assert heading == ["NAME", "PID", "STATE"]
    return {name: int(pid) for name, pid, state in rows if state == "running"}


def test_two_stacks_run_side_by_side(stack: LocalStack, copy: LocalStack) -> None:
    assert stack.is_ready()
    assert copy.is_ready()
    shared = set(stack.values.items()) & set(copy.values.items())
    assert {name for name, _ in shared} == {"ADMIN_EMAIL"}


def test_secrets_are_for_their_owner_only(copy: LocalStack) -> None:
    for name in ("runtime.env", "secrets.env", "redis/redis.conf", "rabbitmq/rabbitmq.conf", "supervisor/gateway.json"):
        assert (copy.data_dir / name).stat().st_mode & 0o777 == 0o600, name
    assert copy.data_dir.stat().st_mode & 0o777 == 0o700
    assert "JWT_SECRET_KEY" not in copy.values


def test_the_generated_admin_password_is_told(copy: LocalStack) -> None:
    assert f"admin@example.org, password {copy.admin_password}" in copy.said()


@pytest.mark.skipif(not shutil.which("ss"), reason="needs ss, of iproute2")
def test_every_server_listens_on_loopback_only(copy: LocalStack) -> None:
    own = [f"pid={pid}," for pid in pids(copy).values()]
    listening = command(copy.environment, "ss", "-Hltnp").stdout.splitlines()
    addresses = [line.split()[3].rpartition(":")[0] for line in listening if any(pid in line for pid in own)]
    assert len(addresses) >= 8
    assert set(addresses) <= {"127.0.0.1", "[::1]"}


def test_a_port_that_another_stack_has_is_told(copy: LocalStack, tmp_path: Path) -> None:
    port = int(copy.values["PORT"])
    refused = command(local_stack.environment(tmp_path / "data", port), *RUN)
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr
    assert f"make run PORT={port + 1}" in refused.stderr
    assert not (tmp_path / "data" / "supervisor").exists()


def test_a_port_that_another_program_has_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = command(local_stack.environment(tmp_path / "data", port), *RUN)
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in refused.stderr
    assert not (tmp_path / "data" / "supervisor").exists()


def test_a_data_dir_is_for_one_stack(copy: LocalStack) -> None:
    refused = command(local_stack.environment(copy.data_dir, local_stack.free_port()), *RUN)
    assert refused.returncode == 1
    assert f"A stack already runs on {copy.data_dir}" in refused.stderr
    assert copy.is_ready()


def test_ps_lists_every_process(copy: LocalStack) -> None:
    assert set(pids(copy)) == {
        *("epmd", "rabbitmq", "redis", "redis-sessions", "mongod", "smtp"),
        *("gateway", "auth_svc", "concert_svc", "booking_svc-1", "booking_svc-2", "mailer_svc", "relay"),
    }


def test_ps_and_shell_without_a_stack_say_so(tmp_path: Path) -> None:
    for name in ("ps", "shell"):
        asked = command(local_stack.environment(tmp_path, 3000), sys.executable, "-m", "local", name)
        assert asked.returncode == 1
        assert asked.stderr == f"No stack runs on {tmp_path}. make run starts one.\n"


def test_shell_prints_what_a_service_answers(copy: LocalStack) -> None:
    asked = command(copy.environment, "make", "-s", "shell", stdin="print(n.rpc.concert_svc.ping())\n")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip() == "{'mongodb': 'ok'}"


@pytest.mark.parametrize("name", ["gateway", "concert_svc", "relay", "epmd"])
def test_what_is_killed_runs_again(copy: LocalStack, name: str) -> None:
    before = pids(copy)[name]
    os.kill(before, signal.SIGKILL)
    poll(lambda: pids(copy).get(name, before) != before, seconds=20)
    poll(copy.is_ready, seconds=30)
    poll(lambda: f"{name} had ended and runs again" in copy.said())


def test_sigterm_to_make_stops_everything(copy: LocalStack) -> None:
    assert copy.stop(exit_code=-signal.SIGTERM) < STOP_SECONDS
    assert not (copy.data_dir / "runtime.env").exists()


@pytest.mark.usefixtures("copy")
def test_ctrl_c_stops_everything(data_dir: Path, second_starts: list[float]) -> None:
    again = start_again(data_dir, second_starts)
    assert f"password in {data_dir}/secrets.env" in again.said()
    assert again.stop(by=lambda: os.killpg(again.process.pid, signal.SIGINT)) < STOP_SECONDS


@pytest.mark.usefixtures("copy")
def test_sigint_to_make_alone_stops_everything_however_often(data_dir: Path, second_starts: list[float]) -> None:
    again = start_again(data_dir, second_starts, "make", "run")
    again.process.send_signal(signal.SIGINT)
    poll(lambda: "Stopping" in again.said())
    [runner] = [int(line.split()[0]) for line in local_stack.processes_of(data_dir) if "-m local run" in line]
    assert again.stop(by=lambda: os.kill(runner, signal.SIGTERM), exit_code=-signal.SIGINT) < STOP_SECONDS
    assert "Already stopping" in again.said()


@pytest.mark.usefixtures("copy")
def test_nothing_outlives_a_killed_run(data_dir: Path, second_starts: list[float]) -> None:
    again = start_again(data_dir, second_starts)
    again.process.kill()
    again.process.wait()
    poll(lambda: not local_stack.processes_of(data_dir), seconds=STOP_SECONDS + 5)


def test_a_second_start_is_quick(second_starts: list[float]) -> None:
    assert second_starts, "no test started the stack again"
    assert min(second_starts) < SECOND_START_SECONDS
