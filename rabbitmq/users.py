"""The broker's users: one for each program, one for operators."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from rabbitmq.names import PROGRAMS
from rabbitmq.permissions import OPERATOR

USERS = (*PROGRAMS, OPERATOR)


def password_variable(user: str) -> str:
    """The environment variable that holds the password of *user*."""
    return "RABBITMQ_PASSWORD" if user == OPERATOR else f"RABBITMQ_{user.upper()}_PASSWORD"


def hashed(password: str, salt: bytes | None = None) -> str:
    """
    *password* as RabbitMQ keeps it: base64 of the salt and SHA-256(salt + password).

    https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    salt = secrets.token_bytes(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions(passwords: Mapping[str, str]) -> dict[str, Any]:
    """
    The users in RabbitMQ's form, each with the hash of its password, which is under `password_variable(user)`.

    Raises:
        KeyError: a password is missing.
    """
    return {"users": [_definition(user, passwords[password_variable(user)]) for user in USERS]}


def _definition(user: str, password: str) -> dict[str, Any]:
    return {
        "name": user,
        "password_hash": hashed(password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        # An operator may also use the management pages, where there are any.
        "tags": ["administrator"] if user == OPERATOR else [],
    }
