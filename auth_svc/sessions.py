"""Sessions in Redis: an allowlist. A token whose session is not here is worth nothing."""

import hashlib
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, cast

from redis import Redis

from auth_svc.contract import ActiveSession, LoginTooOld, Origin, Role, Session, SessionEnded, SessionNotFound
from auth_svc.contract import session_key as _session
from auth_svc.contract import sessions_key as _sessions
from rabbitmq.times import to_wire

#: A session that is not refreshed ends after this; however often it is, after that.
LIFETIME, LIFETIME_IN_ALL = timedelta(days=30), timedelta(days=365)
#: How long ago a login may be for what cannot be undone: a token that was stolen or left behind is older, mostly.
RECENT = timedelta(minutes=15)
#: Seconds in which the same client gets the same successor again: its answer may have been lost.
GRACE = 10


class TokenReused(Exception):
    """A refresh token was used a second time; the session has ended. Its argument: whose it was."""


class Rotated(NamedTuple):
    """A session with the refresh id that is good now, and what it was begun with."""

    session: Session
    user_id: str
    credentials_version: int


class Sessions:
    """The hashes `session:<id>` and, for each user, the sorted set `sessions:<user>` (see contract.py)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._rotate = redis.register_script((Path(__file__).parent / "lua" / "rotate_session.lua").read_text())

    def begin(self, user_id: str, roles: list[Role], credentials_version: int, origin: Origin) -> Session:
        """A new session with unguessable ids, for what the user may do by *credentials_version*."""
        now = int(time.time())
        session = Session(id=secrets.token_urlsafe(24), refresh_id=secrets.token_urlsafe(24), refreshed_at=now)
        with self._redis.pipeline(transaction=True) as together:
            together.hset(
                _session(session["id"]),
                mapping={
                    "user_id": user_id,
                    "roles": " ".join(roles),
                    "credentials_version": credentials_version,
                    "refresh_id": session["refresh_id"],
                    "born": now,
                    "address": origin["address"],
                    "device": origin["device"],
                },
            )
            together.expire(_session(session["id"]), LIFETIME)
            together.zadd(_sessions(user_id), {session["id"]: now})
            together.expire(_sessions(user_id), LIFETIME)
            together.execute()
        return session

    def rotate(self, session_id: str, refresh_id: str, origin: Origin) -> Rotated:
        """
        Exchange *refresh_id* for its successor, once; within `GRACE` the same client gets the same one again.

        Raises:
            SessionEnded: there is no such session.
            TokenReused: the id had been used before; the session ends here.
        """
        life, in_all = int(LIFETIME.total_seconds()), int(LIFETIME_IN_ALL.total_seconds())
        answer, *kept = self._rotate(
            keys=[_session(session_id)],
            args=[refresh_id, secrets.token_urlsafe(24), _mark(origin), life, in_all, GRACE, _sessions(""), session_id],
        )
        if answer == "ended":
            raise SessionEnded
        if answer == "reused":
            raise TokenReused(kept[0])
        user_id, version, good, since = kept
        session = Session(id=session_id, refresh_id=good, refreshed_at=int(since))
        return Rotated(session, user_id, int(version))

    def of(self, user_id: str) -> list[ActiveSession]:
        """The user's sessions, the one last seen first."""
        seen = cast(list[tuple[str, float]], self._redis.zrevrange(_sessions(user_id), 0, -1, withscores=True))
        with self._redis.pipeline(transaction=False) as together:
            for session_id, _ in seen:
                together.hmget(_session(session_id), "device", "address", "born")
            kept = together.execute()
        return [
            ActiveSession(
                id=session_id, device=device, address=address, created_at=_to_wire(born), last_seen_at=_to_wire(last)
            )
            for (session_id, last), (device, address, born) in zip(seen, kept, strict=True)
            if born is not None  # it has expired
        ]

    def end(self, user_id: str, session_id: str) -> None:
        """
        End one of the user's sessions.

        Raises:
            SessionNotFound: the user has no such session.
        """
        if self._redis.hget(_session(session_id), "user_id") != user_id:
            raise SessionNotFound
        self._delete(user_id, [session_id])

    def require_recent_login(self, user_id: str, session_id: str) -> None:
        """
        Raises:
            LoginTooOld: the session was begun longer ago than `RECENT`, however often it was refreshed.
            SessionNotFound: the user has no such session.
        """
        owner, born = cast(list[str | None], self._redis.hmget(_session(session_id), "user_id", "born"))
        if owner != user_id:
            raise SessionNotFound
        if time.time() - int(born or 0) > RECENT.total_seconds():
            raise LoginTooOld

    def end_all(self, user_id: str) -> None:
        """End every session of the user."""
        self._delete(user_id, self._ids(user_id))

    def end_older(self, user_id: str, credentials_version: int) -> None:
        """End every session of the user that was begun before *credentials_version*; repeating it changes nothing."""
        ids = self._ids(user_id)
        with self._redis.pipeline(transaction=False) as together:
            for session_id in ids:
                together.hget(_session(session_id), "credentials_version")
            versions = together.execute()
        self._delete(user_id, [id_ for id_, v in zip(ids, versions, strict=True) if int(v or 0) < credentials_version])

    def _ids(self, user_id: str) -> list[str]:
        return cast(list[str], self._redis.zrange(_sessions(user_id), 0, -1))

    def _delete(self, user_id: str, ids: list[str]) -> None:
        """The sessions first: one that is gone and listed harms nobody."""
        if ids:
            self._redis.delete(*map(_session, ids))
            self._redis.zrem(_sessions(user_id), *ids)


def _mark(origin: Origin) -> str:
    """Tells clients apart: the same program at the same address has the same one."""
    return hashlib.sha256(f"{origin['address']}\n{origin['device']}".encode()).hexdigest()[:32]


def _to_wire(seconds: str | float) -> str:
    return to_wire(datetime.fromtimestamp(int(seconds), UTC))
