"""What the caller's environment says about a stack, with the defaults filled in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The repository: programs run from here, and it is on their PYTHONPATH.
ROOT = Path(__file__).resolve().parent.parent

#: Whoever sets one of these brings a server along; the private one is then not started.
ADDRESSES = ("AMQP_URI", "REDIS_URL", "SESSION_REDIS_URL", "MONGO_URI", "SMTP_URL")

#: What every program gets of the caller's environment. All else stays outside, so that what
#: happens to be exported in a developer's shell does not change how the platform behaves.
PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    "CONFIRMATION_OVERDUE",
    *("RATELIMIT_ENABLED", "RATELIMIT_READS", "RATELIMIT_WRITES", "RATELIMIT_ACCOUNTS", "TRUSTED_PROXIES"),
    *("LOG_LEVEL", "GATEWAY_WORKERS", "GATEWAY_THREADS", "CORS_ORIGINS"),
    "CONCERT_LASTS",
    *("MAIL_FROM", "MAIL_CONNECTIONS", "MAIL_RETRY_SECONDS", "SHOP_URL", "TICKET_RETIRED_KEYS"),
)

MOST_PROCESSES = 64
EVERY_INTERFACE = ("", "0.0.0.0", "::")


class StackFailed(Exception):
    """The stack cannot start, or cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Settings:
    """One stack: where it listens, where its data live, which servers it is given."""

    host: str
    port: int
    booking_processes: int
    data_dir: Path
    given: Mapping[str, str]
    environment: Mapping[str, str]

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """
        Read the settings from *environ*; an empty variable counts as unset.

        Raises:
            StackFailed: PORT is not a port number, or BOOKING_PROCESSES no number of processes.
        """
        said = {name: value for name, value in environ.items() if value}
        port = said.get("PORT", "3000")
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise StackFailed(f"PORT={port} is not a port number (1 to 65535).")
        processes = said.get("BOOKING_PROCESSES", "2")
        if processes not in map(str, range(1, MOST_PROCESSES + 1)):
            raise StackFailed(f"BOOKING_PROCESSES={processes} is not a number of processes (1 to {MOST_PROCESSES}).")
        return cls(
            host=said.get("HOST", "127.0.0.1"),
            port=int(port),
            booking_processes=int(processes),
            data_dir=Path(said.get("DATA_DIR", ".data")).expanduser().resolve(),
            given={name: said[name] for name in ADDRESSES if name in said},
            environment=said,
        )

    @property
    def api_url(self) -> str:
        """Where a client on this machine reaches the gateway."""
        host = "127.0.0.1" if self.host in EVERY_INTERFACE else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def passed_on(self) -> dict[str, str]:
        """The part of the caller's environment that every program gets, and which stack it belongs to."""
        kept = {name: self.environment[name] for name in PASSED_ON if name in self.environment}
        return {**kept, "DATA_DIR": str(self.data_dir)}
