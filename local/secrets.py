"""The passwords of a stack: made once, kept in its DATA_DIR."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import private_files
from local.settings import StackFailed
from rabbitmq.users import USERS, password_variable

#: Each secret and how many random bytes it has; all but the admin's password, which a person types.
LENGTHS = {
    "JWT_SECRET_KEY": 32,
    "JWT_PREVIOUS_SECRET_KEY": 32,
    **{password_variable(user): 24 for user in USERS},
    "REDIS_PASSWORD": 24,
    "REDIS_GATEWAY_PASSWORD": 24,
    "SESSION_REDIS_PASSWORD": 24,
    "TICKET_SIGNING_KEY": 32,  # of an Ed25519 key its seed
}


@dataclass(frozen=True)
class Secrets:
    """What a stack keeps to itself, by name."""

    values: Mapping[str, str]
    #: The admin's password was made up in this very run: the only time it is shown.
    admin_password_is_new: bool

    def __getitem__(self, name: str) -> str:
        return self.values[name]


def load(file: Path, environ: Mapping[str, str]) -> Secrets:
    """
    The secrets in *file*, made and stored (mode 0600) where they were missing.

    The first admin (ADMIN_EMAIL, ADMIN_PASSWORD), JWT_SECRET_KEY and TICKET_SIGNING_KEY are taken from *environ* when
    they are set there, and remembered: the account that the first run created keeps its password.
    Another JWT_SECRET_KEY makes the one before it the previous one, whose tokens are good while they last.

    Raises:
        StackFailed: one that is given holds a line break.
    """
    values = private_files.read_values(file)
    if environ.get("JWT_SECRET_KEY") and values.get("JWT_SECRET_KEY", "") not in ("", environ["JWT_SECRET_KEY"]):
        values["JWT_PREVIOUS_SECRET_KEY"] = values["JWT_SECRET_KEY"]
    for name in ("ADMIN_EMAIL", "ADMIN_PASSWORD", "JWT_SECRET_KEY", "TICKET_SIGNING_KEY"):
        if environ.get(name):
            values[name] = environ[name]
    values.setdefault("ADMIN_EMAIL", "admin@example.org")
    admin_password_is_new = "ADMIN_PASSWORD" not in values
    values.setdefault("ADMIN_PASSWORD", secrets.token_urlsafe(12))
    for name, length in LENGTHS.items():
        values.setdefault(name, secrets.token_hex(length))
    try:
        private_files.write_values(file, values)
    except ValueError as error:
        raise StackFailed(f"{error}, which no line of {file.name} can keep.") from error
    return Secrets(values, admin_password_is_new)
