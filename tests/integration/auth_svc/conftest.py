"""The stores of auth_svc, each test with ids of its own."""

import ipaddress
import secrets
from collections.abc import Iterator
from uuid import uuid4

import pytest
from pymongo.database import Database
from redis import Redis

from auth_svc.audit_log import AuditLog
from auth_svc.sessions import Sessions
from auth_svc.tries import Tries
from auth_svc.users import Users
from rabbitmq.database import Document


@pytest.fixture
def sessions(session_redis: Redis) -> Sessions:
    return Sessions(session_redis)


@pytest.fixture
def user_id(sessions: Sessions) -> Iterator[str]:
    """A user nobody else knows; their sessions end with the test."""
    user = f"test_{uuid4().hex}"
    yield user
    sessions.end_all(user)


@pytest.fixture
def tries(session_redis: Redis) -> Tries:
    return Tries(session_redis)


@pytest.fixture
def address() -> str:
    """An IP address nobody else has: of the block for documentation and tests."""
    return str(ipaddress.IPv6Address("2001:db8::") + (secrets.randbits(60) << 64))


@pytest.fixture(scope="session")
def audit_log(mongo: Database[Document]) -> AuditLog:
    return AuditLog(mongo)


@pytest.fixture(scope="session")
def users(mongo: Database[Document]) -> Users:
    return Users(mongo)
