import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from local import launch
from local.operator import table
from local.programs import Program
from local.readiness import last_lines
from local.settings import ROOT
from local.supervisor import APP, LONGEST_SOCKET_PATH, SERVERS, NotRunning, Process, Supervisor, socket_path


def as_the_supervisor_reads_it(data_dir: Path) -> ServerOptions:
    """What the supervisor itself makes of the configuration for two servers and a service in two processes."""
    supervisor = Supervisor(data_dir)
    for folder in (supervisor.logs, data_dir / "supervisor"):
        folder.mkdir(parents=True)
    groups = {
        SERVERS: [Program("late", ["late"], priority=2), Program("early", ["early"], priority=1)],
        APP: [Program("service", ["run", "it"], {"SECRET": "%x"}, copies=2)],
    }
    config = data_dir / "supervisor" / "supervisord.conf"
    config.write_text(supervisor.config(groups))
    options = ServerOptions()
    options.realize(["--configuration", str(config)])
    return options


@pytest.mark.parametrize("folder", ["data", "100% mine; yes", "%(program_name)s"])
def test_servers_start_first_and_by_themselves_and_the_app_later(tmp_path: Path, folder: str) -> None:
    options = as_the_supervisor_reads_it(tmp_path / folder)
    servers, app = sorted(options.process_group_configs)
    assert (servers.name, app.name) == (SERVERS, APP)
    assert [process.name for process in sorted(servers.process_configs)] == ["early", "late"]
    assert [process.name for process in app.process_configs] == ["service-1", "service-2"]
    assert all(process.autostart for process in servers.process_configs)
    assert not any(process.autostart for process in app.process_configs)
    assert {process.stdout_logfile for process in app.process_configs} == {
        str(tmp_path / folder / "logs" / "service-1.log"),
        str(tmp_path / folder / "logs" / "service-2.log"),
    }


def test_what_dies_is_started_again_for_as_long_as_it_takes(tmp_path: Path) -> None:
    options = as_the_supervisor_reads_it(tmp_path / "data")
    for process in [process for group in options.process_group_configs for process in group.process_configs]:
        seconds_until_given_up = process.startretries * (process.startretries + 1) / 2
        assert process.autorestart
        assert seconds_until_given_up > 365 * 24 * 3600


def test_no_secret_is_in_the_supervisors_own_configuration(tmp_path: Path) -> None:
    as_the_supervisor_reads_it(tmp_path / "data")
    assert "SECRET" not in (tmp_path / "data" / "supervisor" / "supervisord.conf").read_text()


def test_a_program_gets_its_own_environment_and_nothing_else(tmp_path: Path) -> None:
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    launch.write(tmp_path / "show.json", Program("show", show, {"ONLY": "this"}))
    assert (tmp_path / "show.json").stat().st_mode & 0o777 == 0o600
    command = [sys.executable, "-m", "local.launch", str(tmp_path / "show.json")]
    printed = subprocess.run(command, cwd=ROOT, env={**os.environ, "OTHER": "that"}, stdout=subprocess.PIPE, check=True)
    environment = json.loads(printed.stdout)
    assert environment.pop("ONLY") == "this"
    assert set(environment) <= {"LC_CTYPE"}  # which Python adds for itself


def test_each_copy_of_a_program_gets_what_is_its_own(tmp_path: Path) -> None:
    show = [sys.executable, "-c", "import os; print(os.environ['BOTH'], os.environ['PORT'])"]
    launch.write(
        tmp_path / "show.json", Program("show", show, {"BOTH": "x"}, copies=2, each=({"PORT": "1"}, {"PORT": "2"}))
    )
    for number in ("1", "2"):
        command = [sys.executable, "-m", "local.launch", str(tmp_path / "show.json"), number]
        assert subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout == f"x {number}\n".encode()
    options = as_the_supervisor_reads_it(tmp_path / "data")
    commands = [process.command for group in options.process_group_configs for process in group.process_configs]
    assert sorted(command.split()[-1] for command in commands if "service.json" in command) == ["1", "2"]


def test_the_socket_is_in_the_data_dir_unless_its_path_is_too_long_for_a_socket(tmp_path: Path) -> None:
    assert socket_path(Path("/short")) == Path("/short/supervisor/socket")
    long = [tmp_path / (name * 100) for name in "ab"]
    paths = {socket_path(data_dir) for data_dir in long}
    assert len(paths) == 2
    assert all(len(str(path)) <= LONGEST_SOCKET_PATH for path in paths)
    assert paths == {socket_path(data_dir) for data_dir in long}


def test_where_no_supervisor_runs_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        Supervisor(tmp_path).processes()


def test_ps_is_an_aligned_table() -> None:
    listed = [Process("gateway", 1234567, "running", 1), Process("booking_svc-1", 0, "backoff", 2)]
    assert table(listed).splitlines() == [
        "NAME               PID  STATE",
        "gateway        1234567  running",
        "booking_svc-1        -  backoff",
    ]


def test_the_end_of_a_log_is_told_indented(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    assert last_lines(log, 2) == "    (nothing)"
    log.write_bytes(b"one\ntwo\nthr\xffee\n")
    assert last_lines(log, 2) == "    two\n    thr\ufffdee"
