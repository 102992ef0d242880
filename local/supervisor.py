"""The supervisor (the PyPI package of that name): its configuration, its process, its answers."""

from __future__ import annotations

import hashlib
import http.client
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from supervisor.xmlrpc import SupervisorTransport

from local import launch, private_files, processes
from local.programs import Program
from local.settings import ROOT, StackFailed

#: A Unix socket's path fits 108 bytes; the supervisor first binds it with its pid appended.
LONGEST_SOCKET_PATH = 90

SERVERS, APP = "servers", "app"


class NotRunning(StackFailed):
    """No supervisor answers for this data directory."""


@dataclass(frozen=True)
class Process:
    """One supervised process; *pid* is 0 while it does not run, *started* changes with each start."""

    name: str
    pid: int
    state: str
    started: int


class Supervisor:
    """The supervisor of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.logs = data_dir / "logs"
        self._files = data_dir / "supervisor"
        self._socket = socket_path(data_dir)
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self, servers: Iterable[Program], app: Iterable[Program], lock: IO[str]) -> None:
        """
        Start the supervisor with the *servers*; *app* waits for `start_app`.

        It keeps *lock* open until it ends, and ends with this process, however that ends.

        Raises:
            StackFailed: the folder for its socket belongs to somebody else.
        """
        for folder in (self.logs, self._files, self._socket.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid != os.getuid():
                raise StackFailed(f"{folder} belongs to somebody else.")
        groups = {SERVERS: list(servers), APP: list(app)}
        for program in (*groups[SERVERS], *groups[APP]):
            launch.write(self._launch_file(program), program)
        config = self._files / "supervisord.conf"
        private_files.write(config, self.config(groups))
        processes.adopt_orphans()
        self._daemon = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(config)],
            cwd=ROOT,
            # The supervisor closes every other inherited file, but this one stays open, and
            # with it the lock on the data directory, until the last process is gone.
            stdin=lock,
            stdout=subprocess.DEVNULL,
            stderr=(self.logs / "supervisord.err").open("wb"),
            start_new_session=True,  # so that Ctrl-C reaches only us, and the order of stopping is ours
            preexec_fn=_supervisor_only,
        )

    def config(self, groups: Mapping[str, list[Program]]) -> str:
        """The text of supervisord.conf, for programs by group, in the order the groups start."""
        sections = [
            _section(
                "unix_http_server",
                file=self._socket,
                chmod="0700",
            ),
            _section(
                "supervisord",
                nodaemon="true",
                silent="true",
                logfile=self.logs / "supervisord.log",
                logfile_backups=2,
                pidfile=self._files / "supervisord.pid",
                directory=ROOT,
            ),
            _section(
                "rpcinterface:supervisor",
                **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
            ),
        ]
        for priority, (group, programs) in enumerate(groups.items(), start=1):
            if programs:
                names = ",".join(program.name for program in programs)
                sections.append(_section(f"group:{group}", programs=names, priority=priority))
            sections += [self._program(program, autostart=group == SERVERS) for program in programs]
        return "\n".join(sections)

    def start_app(self) -> None:
        """
        Start the platform's own programs; does not wait for them.

        Raises:
            NotRunning: no supervisor answers.
        """
        self._ask("startProcessGroup", APP, False)

    def stop(self, process: str) -> None:
        """
        Stop one of the platform's own processes, and do not start it again.

        Raises:
            NotRunning: no supervisor answers.
        """
        self._ask("stopProcess", f"{APP}:{process}")

    def processes(self) -> list[Process]:
        """
        Every supervised process.

        Raises:
            NotRunning: no supervisor answers.
        """
        return [
            Process(info["name"], info["pid"], info["statename"].lower(), info["start"])
            for info in self._ask("getAllProcessInfo")
        ]

    def ended(self) -> bool:
        """Whether the supervisor itself has ended."""
        return self._daemon is None or self._daemon.poll() is not None

    def ask_to_stop(self) -> None:
        """Have everything stopped: the app first, the servers after it, the supervisor last."""
        if self._daemon is not None and not self.ended():
            self._daemon.send_signal(signal.SIGTERM)

    def clear_up(self) -> None:
        """Remove what lies outside the data directory, once the supervisor has ended."""
        if self._socket.parent != self._files:
            self._socket.unlink(missing_ok=True)
            self._socket.parent.rmdir()

    def log_of(self, process: str) -> Path:
        """The file that holds what *process* printed."""
        return self.logs / f"{process}.log"

    def last_words(self) -> str:
        """What the supervisor said when it could not start."""
        return (self.logs / "supervisord.err").read_text(errors="replace").strip()

    def _ask(self, method: str, *arguments: object) -> Any:
        # A connection of its own for each call: the transport keeps one that has failed, and fails with it for ever.
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as api:
                return getattr(api.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise NotRunning(f"The supervisor does not answer: {error}") from error

    def _program(self, program: Program, *, autostart: bool) -> str:
        name = "%(program_name)s-%(process_num)d" if program.copies > 1 else "%(program_name)s"
        command = [sys.executable, "-m", "local.launch", str(self._launch_file(program))]
        return _section(
            f"program:{program.name}",
            command=_Expanded(f"{_literal(shlex.join(command))} %(process_num)d"),
            numprocs=program.copies,
            numprocs_start=1,
            process_name=_Expanded(name),
            priority=program.priority,
            autostart=str(autostart).lower(),
            autorestart="true",
            startsecs=1,
            # Whatever it fails at, its server may be back soon: never give up. Each try waits a
            # second longer than the one before.
            startretries=1_000_000,
            stopwaitsecs=program.stop_seconds,
            killasgroup="true",
            redirect_stderr="true",
            # The supervisor replaces twice here.
            stdout_logfile=_Expanded(f"{_literal(_literal(self.logs))}/{name}.log"),
            stdout_logfile_maxbytes="10MB",
            stdout_logfile_backups=2,
        )

    def _launch_file(self, program: Program) -> Path:
        return self._files / f"{program.name}.json"


class _Expanded(str):
    """A value in which the supervisor shall replace %(names)s."""


def socket_path(data_dir: Path) -> Path:
    """Where the supervisor of *data_dir* listens: inside it if the path is short enough for a socket."""
    inside = data_dir / "supervisor" / "socket"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
        return inside
    key = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"tickets-{os.getuid()}-{key}" / "socket"


def _section(title: str, **values: object) -> str:
    lines = [f"{name} = {value if isinstance(value, _Expanded) else _literal(value)}" for name, value in values.items()]
    return "\n".join([f"[{title}]", *lines, ""])


def _literal(value: object) -> str:
    return str(value).replace("%", "%%")


def _supervisor_only() -> None:
    processes.end_with_parent(signal.SIGTERM)
    processes.adopt_orphans()
