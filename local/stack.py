"""`python -m local run`: the story of a stack, from its first process to its last."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from local import checks, console, data_dir, metrics, ports, private_files, processes, secrets, topology
from local.programs import platform_programs
from local.readiness import Readiness
from local.secrets import Secrets
from local.servers import PORTS, PrivateServers
from local.settings import Settings
from local.signals import StopRequested, StopSignals
from local.supervisor import Supervisor
from local.watch import Watch

SERVERS_SECONDS = 60
PLATFORM_SECONDS = 90
STOP_SECONDS = 14
#: What of the facts stays inside the stack.
UNTOLD = ("HOST", "JWT_SECRET_KEY", "JWT_PREVIOUS_SECRET_KEY", "TICKET_SIGNING_KEY")


def run(settings: Settings, signals: StopSignals) -> None:
    """
    Start the stack, keep it running until a signal comes, stop all of it.

    Raises:
        StackFailed: it did not come up, or broke down; whatever had started was stopped.
    """
    with (
        data_dir.held(settings.data_dir) as lock,
        ports.claimed(settings.port, settings.host),
        _chosen_ports(settings) as chosen,
    ):
        secret = secrets.load(data_dir.secrets_file(settings.data_dir), settings.environment)
        servers = PrivateServers(settings, secret, chosen)
        facts = _facts(settings, secret, servers)
        supervisor = Supervisor(settings.data_dir)
        readiness = Readiness(supervisor, signals)
        runtime_file = data_dir.runtime_file(settings.data_dir)

        console.say("Starting")
        try:
            private_files.write_values(runtime_file, {k: v for k, v in facts.items() if k not in UNTOLD})
            programs = platform_programs(facts, servers.amqp_uris(), settings.passed_on, settings.booking_processes)
            supervisor.start(servers.programs(), metrics.with_ports(programs, servers.ports), lock)
            metrics.write_targets(data_dir.metrics_file(settings.data_dir), servers.ports)
            readiness.wait(servers.checks(), SERVERS_SECONDS)
            topology.apply(facts["AMQP_URI"], settings.passed_on, supervisor.log_of("topology"), signals)
            ports.require_free(settings.port, settings.host)
            supervisor.start_app()
            readiness.wait({"platform": partial(_platform, facts["API_URL"], readiness)}, PLATFORM_SECONDS)
            _welcome(facts, secret)
            Watch(supervisor, signals).run()
        except StopRequested:
            pass
        finally:
            _stop(supervisor)
            runtime_file.unlink(missing_ok=True)


@contextmanager
def _chosen_ports(settings: Settings) -> Iterator[dict[str, int]]:
    file = data_dir.ports_file(settings.data_dir)
    needed = [port for name, names in PORTS.items() if name not in settings.given for port in names]
    needed += [metrics.port_name(process) for process in metrics.processes(settings.booking_processes)]
    remembered = ports.remembered(file)
    with ports.chosen(needed, remembered, settings.port) as chosen:
        ports.remember(file, remembered | chosen)
        yield chosen


def _facts(settings: Settings, secret: Secrets, servers: PrivateServers) -> dict[str, str]:
    """All that the programs, and the people around this stack, may need to know, by variable name."""
    facts = {
        "API_URL": settings.api_url,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "DATA_DIR": str(settings.data_dir),
        **servers.addresses(),
        "GATEWAY_REDIS_URL": servers.gateway_redis_url(),
        **{
            name: secret[name]
            for name in (
                *("ADMIN_EMAIL", "ADMIN_PASSWORD"),
                *("JWT_SECRET_KEY", "JWT_PREVIOUS_SECRET_KEY", "TICKET_SIGNING_KEY"),
            )
        },
    }
    if servers.mail_dir:
        facts["MAIL_DIR"] = str(servers.mail_dir)
    return facts


def _platform(api_url: str, readiness: Readiness) -> None:
    checks.gateway(api_url)
    readiness.everything_runs()


def _welcome(facts: Mapping[str, str], secret: Secrets) -> None:
    kept = data_dir.secrets_file(Path(facts["DATA_DIR"]))
    password = secret["ADMIN_PASSWORD"] if secret.admin_password_is_new else f"in {kept}"
    mail = facts.get("MAIL_DIR") or "goes to " + facts["SMTP_URL"].rpartition("@")[2]
    console.say()
    console.say(f"  API    {facts['API_URL']}")
    console.say(f"  Docs   {facts['API_URL']}/docs")
    console.say(f"  Mail   {mail}")
    console.say(f"  Data   {facts['DATA_DIR']}")
    console.say(f"  Admin  {facts['ADMIN_EMAIL']}, password {password}")
    console.say()
    console.say("Ready. Ctrl-C stops everything.")


def _stop(supervisor: Supervisor) -> None:
    """Stop the app, then the servers, then the supervisor; kill what has not ended in time."""
    began = time.monotonic()
    supervisor.ask_to_stop()
    while not supervisor.ended() and time.monotonic() < began + STOP_SECONDS:
        time.sleep(0.02)
    # Nobody is left now, unless the supervisor was killed, or hangs.
    processes.end_children(kill_at=began + STOP_SECONDS, give_up_at=began + STOP_SECONDS + 1)
    supervisor.clear_up()
    console.say(f"Stopped in {time.monotonic() - began:.1f} s.")
