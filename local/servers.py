"""The private servers: RabbitMQ, two Redis, MongoDB and a mail catcher, all on 127.0.0.1."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from booking_svc.contract import GATEWAY_MAY
from local import private_files, rabbitmq_home, replica_set
from local.checks import CHECKS
from local.programs import Program, python_environment
from local.secrets import Secrets
from local.settings import ROOT, Settings, StackFailed
from rabbitmq import users
from rabbitmq.names import PROGRAMS
from rabbitmq.permissions import OPERATOR

#: Debian's own `rabbitmq-server` on the PATH switches to the user rabbitmq; the one below it does not.
RABBITMQ_LAUNCHERS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")

#: The ports that each server needs, by the variable that holds its address; its own port is the last.
PORTS: Mapping[str, tuple[str, ...]] = {
    "AMQP_URI": ("epmd", "rabbitmq-distribution", "rabbitmq"),
    "REDIS_URL": ("redis",),
    "SESSION_REDIS_URL": ("redis-sessions",),
    "MONGO_URI": ("mongod",),
    "SMTP_URL": ("smtp",),
}


@dataclass(frozen=True)
class PrivateServers:
    """The servers that a stack starts for itself in its data directory."""

    settings: Settings
    secrets: Secrets
    ports: Mapping[str, int]

    def addresses(self) -> dict[str, str]:
        """The address of every server, private or given, by the name of its variable."""
        port, secret = self.ports, self.secrets
        private = {
            "AMQP_URI": lambda: self._amqp_uri(OPERATOR),
            "REDIS_URL": lambda: f"redis://:{secret['REDIS_PASSWORD']}@127.0.0.1:{port['redis']}/0",
            "SESSION_REDIS_URL": lambda: (
                f"redis://:{secret['SESSION_REDIS_PASSWORD']}@127.0.0.1:{port['redis-sessions']}/0"
            ),
            "MONGO_URI": lambda: f"mongodb://127.0.0.1:{port['mongod']}/?replicaSet=rs0",
            "SMTP_URL": lambda: f"smtp://127.0.0.1:{port['smtp']}",
        }
        return {
            name: self.settings.given[name] if name in self.settings.given else address()
            for name, address in private.items()
        }

    def amqp_uris(self) -> dict[str, str]:
        """
        The broker's address for each of our programs, with a user of its own.

        Of a broker that is given: what the variable <PROGRAM>_AMQP_URI says, or else the common address.
        """
        given, said = self.settings.given.get("AMQP_URI"), self.settings.environment
        if given is None:
            return {program: self._amqp_uri(program) for program in PROGRAMS}
        return {program: said.get(f"{program.upper()}_AMQP_URI", given) for program in PROGRAMS}

    def gateway_redis_url(self) -> str:
        """
        The inventory's address for the gateway, with a user who may do next to nothing.

        Of a Redis that is given: what the variable GATEWAY_REDIS_URL says, or else none. The gateway can do without.
        """
        if "REDIS_URL" in self.settings.given:
            return self.settings.environment.get("GATEWAY_REDIS_URL", "")
        return f"redis://gateway:{self.secrets['REDIS_GATEWAY_PASSWORD']}@127.0.0.1:{self.ports['redis']}/0"

    def _amqp_uri(self, user: str) -> str:
        return f"amqp://{user}:{self.secrets[users.password_variable(user)]}@127.0.0.1:{self.ports['rabbitmq']}/"

    @property
    def mail_dir(self) -> Path | None:
        """The Maildir that development mail lands in; None when a mail server is given."""
        return None if "SMTP_URL" in self.settings.given else self.settings.data_dir / "mail"

    def programs(self) -> list[Program]:
        """
        The servers to start, with their configuration written.

        Raises:
            StackFailed: the program of a server is not installed.
        """
        makers = {
            "AMQP_URI": self._rabbitmq,
            "REDIS_URL": lambda: [self._redis("redis", "REDIS_PASSWORD", self._gateway())],
            "SESSION_REDIS_URL": lambda: [self._redis("redis-sessions", "SESSION_REDIS_PASSWORD")],
            "MONGO_URI": self._mongod,
            "SMTP_URL": self._smtp,
        }
        return [program for name, make in makers.items() if name not in self.settings.given for program in make()]

    def checks(self) -> dict[str, Callable[[], None]]:
        """What shows that each server, private or given, is there, by the name to tell of it."""
        return dict(self._check(name, address) for name, address in self.addresses().items())

    def _check(self, name: str, address: str) -> tuple[str, Callable[[], None]]:
        answers = partial(CHECKS[name], address)
        if name in self.settings.given:
            return name, answers
        if name == "MONGO_URI":
            return "mongod", partial(replica_set.ensure, self.ports["mongod"])
        return PORTS[name][-1], answers

    def _rabbitmq(self) -> list[Program]:
        home = self._folder("rabbitmq")
        launcher = _installed(*RABBITMQ_LAUNCHERS)
        config = home / "rabbitmq.conf"
        private_files.write(config, rabbitmq_conf(self.ports, self._definitions()))
        plugins = home / "enabled_plugins"
        plugins.write_text("[].\n")
        environment = {
            **self.settings.passed_on,
            "HOME": str(home),  # where Erlang keeps the cookie that lets rabbitmqctl in
            "ERL_EPMD_PORT": str(self.ports["epmd"]),
            # Ours is supervised. One that Erlang starts by itself would outlive the run.
            "ERL_FLAGS": "-start_epmd false",
            "ERL_CRASH_DUMP": str(home / "erl_crash.dump"),
            "RABBITMQ_NODENAME": "tickets@localhost",
            "RABBITMQ_DIST_PORT": str(self.ports["rabbitmq-distribution"]),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SCHEMA_DIR": str(home / "schema"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            # What the machine's own RabbitMQ is configured with is not for this one.
            "RABBITMQ_CONF_ENV_FILE": str(home / "no-rabbitmq-env.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "no-advanced.config"),
            # Makes the launcher become the broker instead of waiting beside it, so that the process
            # under supervision is the broker itself. It has no other effect without NOTIFY_SOCKET.
            "RUNNING_UNDER_SYSTEMD": "true",
            **rabbitmq_home.make(home / "home", Path(launcher)),
        }
        epmd = [_installed("epmd"), "-port", str(self.ports["epmd"]), "-address", "127.0.0.1"]
        return [
            Program("epmd", epmd, environment, stop_seconds=2, priority=1),
            Program("rabbitmq", [launcher], environment, stop_seconds=6, priority=2),
        ]

    def _definitions(self) -> Path:
        """A folder that tells the broker, at each start, its users and then all the rest."""
        folder = self._folder("rabbitmq/definitions")
        private_files.write(folder / "1-users.json", json.dumps(users.definitions(self.secrets.values)))
        private_files.write(folder / "2-topology.json", (ROOT / "rabbitmq" / "definitions.json").read_text())
        return folder

    def _gateway(self) -> str:
        """The inventory's user `gateway`."""
        return " ".join(("user gateway on", f">{self.secrets['REDIS_GATEWAY_PASSWORD']}", *GATEWAY_MAY))

    def _redis(self, name: str, password: str, *more: str) -> Program:
        home = self._folder(name)
        config = home / "redis.conf"
        private_files.write(config, redis_conf(home, self.ports[name], self.secrets[password], *more))
        command = [_installed("redis-server"), str(config)]
        return Program(name, command, self.settings.passed_on, stop_seconds=5)

    def _mongod(self) -> list[Program]:
        home = self._folder("mongodb")
        wheel = Path(sysconfig.get_paths()["purelib"]) / "fiftyone" / "db" / "bin" / "mongod"
        command = [
            _installed("mongod", str(wheel)),
            *("--dbpath", str(home), "--bind_ip", "127.0.0.1", "--port", str(self.ports["mongod"])),
            *("--replSet", "rs0", "--oplogSize", "512", "--wiredTigerCacheSizeGB", "1"),
            # A slow command would be logged with its values: addresses, hashes, tokens that go by mail.
            *("--nounixsocket", "--quiet", "--slowOpSampleRate", "0"),
            # On SIGTERM a primary waits this long for others to take over; here is no other.
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]
        return [Program("mongod", command, self.settings.passed_on, stop_seconds=5)]

    def _smtp(self) -> list[Program]:
        command = [
            *(sys.executable, "-m", "aiosmtpd", "--nosetuid", "--smtputf8"),
            *("--listen", f"127.0.0.1:{self.ports['smtp']}"),
            *("--class", "aiosmtpd.handlers.Mailbox", str(self.mail_dir)),
        ]
        environment = {**self.settings.passed_on, **python_environment()}
        return [Program("smtp", command, environment, stop_seconds=2)]

    def _folder(self, name: str) -> Path:
        folder = self.settings.data_dir / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def rabbitmq_conf(ports: Mapping[str, int], definitions: Path) -> str:
    """The broker's configuration: the one of the repository, then what is private to this run."""
    shared = ROOT / "rabbitmq" / "rabbitmq.conf"
    return "\n".join(
        [
            shared.read_text() if shared.exists() else "",
            f"listeners.tcp.default = 127.0.0.1:{ports['rabbitmq']}",
            f"load_definitions = {definitions}",
            "log.file = false",
            "log.console = true",
            "",
        ]
    )


def redis_conf(home: Path, port: int, password: str, *more: str) -> str:
    """Redis' configuration: every write in the append-only file, nothing ever evicted; and what else there is."""
    return "\n".join(
        [
            f"port {port}",
            "bind 127.0.0.1",
            f"requirepass {password}",
            f'dir "{home}"',
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            *more,
            "",
        ]
    )


def _installed(*candidates: str) -> str:
    for candidate in candidates:
        if found := shutil.which(candidate):
            return found
    raise StackFailed(f"{candidates[-1]} is not installed. local/bootstrap installs what is missing.")
