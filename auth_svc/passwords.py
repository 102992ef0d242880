"""Passwords: argon2id, computed in a thread of its own, so that a login does not stop the service."""

import eventlet.tpool
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

#: OWASP's second choice for argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
#: Verified when there is no such user, so that the answer takes as long.
_NOBODY = _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    """The password's argon2id hash, with its own salt and parameters in it."""
    return str(eventlet.tpool.execute(_hasher.hash, password))


def verify(password: str, hashed: str | None) -> bool:
    """Whether *password* gave *hashed*; None stands for an unknown user and takes as long."""
    return bool(eventlet.tpool.execute(_matches, password, hashed or _NOBODY)) and hashed is not None


def _matches(password: str, hashed: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except VerificationError:
        return False
