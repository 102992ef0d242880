"""
Passwords: argon2id, computed in threads of lower priority, few at a time.

A login neither stops this service nor takes the processor from those who book; a flood of logins is turned away.
"""

import os
import threading
from collections.abc import Callable
from typing import TypeVar

import eventlet.tpool
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from eventlet.semaphore import Semaphore

from auth_svc.password_rules import normalise
from rabbitmq.errors import Unavailable

T = TypeVar("T")

#: Hashes computed at the same time, each on 19 MiB, and those that may wait for their turn, for so many seconds.
AT_ONCE, WAITING, PATIENCE = 2, 30, 2.5
#: Of the threads that hash, against 0 of everything else.
NICENESS = 10

#: OWASP's second choice for argon2id: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
#: Verified when there is no such user, so that the answer takes as long.
_NOBODY = _hasher.hash("nobody has this password")
_turns = Semaphore(AT_ONCE)
_thread = threading.local()


def hash_password(password: str) -> str:
    """
    The password's argon2id hash, with its own salt and parameters in it.

    Raises:
        Unavailable: too many hashes are being computed.
    """
    return _in_turn(lambda: _hasher.hash(normalise(password)))


def verify(password: str, hashed: str | None) -> bool:
    """
    Whether *password* gave *hashed*; None stands for an unknown user and takes as long.

    Raises:
        Unavailable: too many hashes are being computed.
    """
    return _in_turn(lambda: _matches(normalise(password), hashed or _NOBODY)) and hashed is not None


def is_outdated(hashed: str) -> bool:
    """Whether *hashed* was made with other parameters than we use now."""
    return _hasher.check_needs_rehash(hashed)


def _matches(password: str, hashed: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _in_turn(work: Callable[[], T]) -> T:
    if _turns.balance <= -WAITING or not _turns.acquire(timeout=PATIENCE):
        raise Unavailable("auth_svc")
    try:
        return eventlet.tpool.execute(_nicely, work)
    finally:
        _turns.release()


def _nicely(work: Callable[[], T]) -> T:
    if not getattr(_thread, "nice", False):
        ours = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, ours, max(NICENESS, os.getpriority(os.PRIO_PROCESS, ours)))
        _thread.nice = True
    return work()
