"""Sessions in Redis: an allowlist. A token whose session is not here is worth nothing."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from auth_svc.contract import Role, Session, SessionEnded, session_key
from rabbitmq.times import to_wire

#: A session that is not refreshed ends after this.
LIFETIME = timedelta(days=30)

# Exchanges a refresh id, once. KEYS: session. ARGV: the id presented, its successor, life (s), prefix of _sessions_of.
# Returns the user's id; false when there is no session, or the id was used before (then the session ends).
# The list of the user's sessions lives on with the session, or end_all would miss it.
_ROTATE = """
local current = redis.call('HGET', KEYS[1], 'refresh_id')
if not current then return false end
if current ~= ARGV[1] then redis.call('DEL', KEYS[1]) return false end
redis.call('HSET', KEYS[1], 'refresh_id', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local user = redis.call('HGET', KEYS[1], 'user_id')
redis.call('EXPIRE', ARGV[4] .. user, ARGV[3])
return user
"""


def connect(url: str) -> Redis:
    """A client that gives up within half a second and never repeats a command by itself."""
    return Redis.from_url(
        url, decode_responses=True, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )


class Sessions:
    """The hashes `session:<id>` (see contract.session_key), and per user the set `sessions_of:<user>` of ids."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._rotate = redis.register_script(_ROTATE)

    def begin(self, user_id: str, roles: Sequence[Role], device: str) -> Session:
        """A new session with unguessable ids."""
        session = Session(id=secrets.token_urlsafe(24), refresh_id=secrets.token_urlsafe(24))
        with self._redis.pipeline(transaction=True) as together:
            together.hset(
                session_key(session["id"]),
                mapping={
                    "user_id": user_id,
                    "roles": " ".join(roles),
                    "refresh_id": session["refresh_id"],
                    "device": device,
                    "created_at": to_wire(datetime.now(UTC)),
                },
            )
            together.expire(session_key(session["id"]), LIFETIME)
            together.sadd(_sessions_of(user_id), session["id"])
            together.expire(_sessions_of(user_id), LIFETIME)
            together.execute()
        return session

    def rotate(self, session_id: str, refresh_id: str) -> tuple[str, Session]:
        """
        Exchange *refresh_id* for its successor, once.

        Returns:
            the user's id, and the session.

        Raises:
            SessionEnded: there is none, or the id had been used: then the session ends here.
        """
        successor = secrets.token_urlsafe(24)
        user_id = self._rotate(
            keys=[session_key(session_id)],
            args=[refresh_id, successor, int(LIFETIME.total_seconds()), _sessions_of("")],
        )
        if user_id is None:
            raise SessionEnded
        return str(user_id), Session(id=session_id, refresh_id=successor)

    def end(self, session_id: str) -> None:
        """End one session; a second time changes nothing."""
        self._redis.delete(session_key(session_id))

    def end_all(self, user_id: str) -> None:
        """End every session of the user."""
        ids = cast(set[str], self._redis.smembers(_sessions_of(user_id)))
        self._redis.delete(_sessions_of(user_id), *(session_key(session_id) for session_id in ids))


def _sessions_of(user_id: str) -> str:
    return f"sessions_of:{user_id}"
