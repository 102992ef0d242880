"""
How often a client may ask: counted by the library limits in the sessions' Redis, for a user or else for an address.

And how many may ask at the same time for what costs a password's hash: a flood of logins is turned away before it
takes the threads of those who book.
"""

import threading
import time
from collections.abc import Sequence

from flask import Flask, current_app, g, request
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

from gateway.access import Rate, declared
from gateway.errors import RateLimited
from gateway.sessions import Identity
from rabbitmq.errors import Unavailable
from rabbitmq.redis_trips import RedisTrips

#: Seconds until a Redis that did not answer is asked again.
AWAY = 1.0


class _Storage(RedisStorage):
    """The library's, but that requests which come at the same time are counted in one round trip."""

    def __init__(self, app: Flask) -> None:
        pool = app.extensions["sessions"].connection_pool
        super().__init__(app.config["SESSION_REDIS_URL"], connection_pool=pool, key_prefix="rates")
        self._trips: RedisTrips = app.extensions["session_trips"]

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        key = self.prefixed_key(key)
        counted, _ = self._trips.ask(("INCRBY", key, amount), ("EXPIRE", key, expiry, "NX"))
        return int(counted)


class Counts:
    """
    What each client has asked, in the Redis of the sessions.

    While that is away each process counts for itself: who is let in is not decided here.
    """

    def __init__(self, app: Flask) -> None:
        self._shared = FixedWindowRateLimiter(_Storage(app))
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._away_until = 0.0

    def count(self, allowed: Sequence[RateLimitItem], *whose: str) -> None:
        """
        One request more.

        Raises:
            RateLimited: it is more than is *allowed*.
        """
        if time.monotonic() >= self._away_until:
            try:
                return _count(self._shared, allowed, whose)
            except RedisError:
                self._away_until = time.monotonic() + AWAY
        return _count(self._own, allowed, whose)


def _count(limiter: FixedWindowRateLimiter, allowed: Sequence[RateLimitItem], whose: Sequence[str]) -> None:
    breached = [item for item in allowed if not limiter.hit(item, *whose)]
    if breached:
        until = max(limiter.get_window_stats(item, *whose).reset_time for item in breached)
        raise RateLimited(max(1, int(until - time.time())))


def register(app: Flask) -> None:
    """Limit every route by its rate, unless RATELIMIT_ENABLED is false, and its "accounts" by ACCOUNTS_AT_ONCE."""
    counts = Counts(app)
    rates = {name: parse_many(rate) for name, rate in app.config["RATES"].items()}
    turns = threading.BoundedSemaphore(app.config["ACCOUNTS_AT_ONCE"])

    def count() -> None:
        if request.endpoint is not None:
            counts.count(rates[_rate()], _client(), _rate())

    def enter() -> None:
        if request.endpoint is not None and _rate() == "accounts":
            if not turns.acquire(blocking=False):
                raise Unavailable("auth_svc")
            g.has_turn = True

    def leave(_: BaseException | None) -> None:
        if g.pop("has_turn", False):
            turns.release()

    if app.config["RATELIMIT_ENABLED"]:
        app.before_request(count)
    app.before_request(enter)
    app.teardown_request(leave)


def _client() -> str:
    """A user counts wherever they are; who is not signed in counts by address, and so does a bad token."""
    caller: Identity | None = g.get("identity")
    return f"user:{caller.user_id}" if caller else f"address:{request.remote_addr}"


def _rate() -> Rate:
    access = declared(current_app.view_functions.get(request.endpoint or ""))
    return access.rate or ("reads" if request.method in ("GET", "HEAD", "OPTIONS") else "writes")
