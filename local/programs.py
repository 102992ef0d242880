"""The platform's own programs: what each is started with, and which environment it gets."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.settings import ROOT


@dataclass(frozen=True)
class Program:
    """One program under supervision."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    copies: int = 1
    #: What each of the copies gets beside that.
    each: tuple[Mapping[str, str], ...] = ()
    #: How long it may take to end after SIGTERM, before SIGKILL. A Nameko service takes about 5 s.
    stop_seconds: int = 9
    #: Smaller starts earlier within its group.
    priority: int = 100

    @property
    def processes(self) -> list[str]:
        """What the supervisor calls its processes."""
        return [f"{self.name}-{number}" for number in range(1, self.copies + 1)] if self.copies > 1 else [self.name]


#: What each program needs to know, and nothing beyond it: a service that is taken over
#: holds no secret of another.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "gateway": (
        *("HOST", "PORT", "SESSION_REDIS_URL", "GATEWAY_REDIS_URL"),
        *("JWT_SECRET_KEY", "JWT_PREVIOUS_SECRET_KEY"),
    ),
    "auth_svc": ("MONGO_URI", "SESSION_REDIS_URL", "ADMIN_EMAIL", "ADMIN_PASSWORD"),
    "concert_svc": ("MONGO_URI",),
    "booking_svc": ("MONGO_URI", "REDIS_URL"),
    "mailer_svc": ("MONGO_URI", "SMTP_URL", "TICKET_SIGNING_KEY"),
    "relay": ("MONGO_URI",),
}


#: Nameko and eventlet say at each start, at length and on lines of their own, what we know.
WARNINGS = "ignore::DeprecationWarning,ignore:pkg_resources:UserWarning"


def executable(name: str) -> str:
    """The path of a program that a requirement installed into this virtual environment."""
    return str(Path(sys.prefix) / "bin" / name)


def platform_programs(
    facts: Mapping[str, str], amqp_uris: Mapping[str, str], passed_on: Mapping[str, str], booking_processes: int = 2
) -> list[Program]:
    """The gateway, the services and the relay, each with *passed_on*, its own AMQP_URI and what it needs of *facts*."""
    commands = {
        "gateway": [executable("gunicorn"), "-c", "gateway/gunicorn.conf.py", "gateway.app:create_app()"],
        "auth_svc": _nameko("auth_svc"),
        "concert_svc": _nameko("concert_svc"),
        "booking_svc": _nameko("booking_svc"),
        "mailer_svc": _nameko("mailer_svc"),
        "relay": [sys.executable, "-m", "rabbitmq", "relay"],
    }
    return [
        Program(
            name=name,
            command=command,
            environment={
                **passed_on,
                **python_environment(),
                "AMQP_URI": amqp_uris[name],
                **{need: facts[need] for need in NEEDS[name]},
            },
            copies=booking_processes if name == "booking_svc" else 1,
        )
        for name, command in commands.items()
    ]


def python_environment() -> dict[str, str]:
    """What our Python programs get so that they find the packages, and their logs come at once and in one form."""
    return {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": WARNINGS}


def _nameko(service: str) -> list[str]:
    return [executable("nameko"), "run", "--config", f"{service}/config.yml", f"{service}.service"]
