"""
How often a client may ask: counted by flask-limiter in the sessions' Redis, for a user or else for an address.

And how many may ask at the same time for what costs a password's hash: a flood of logins is turned away before it
takes the threads of those who book.
"""

import threading
import time

from flask import Flask, Response, current_app, g, request
from flask_limiter import Limit, Limiter, RateLimitExceeded

from gateway.access import Rate, declared
from gateway.errors import RateLimited, refuse
from gateway.sessions import Identity
from rabbitmq.errors import Unavailable


def register(app: Flask) -> None:
    """
    Limit every route by its rate, unless RATELIMIT_ENABLED is false, and its "accounts" by ACCOUNTS_AT_ONCE.

    While Redis is away each process counts for itself: who is let in is not decided here.
    """
    limiter = Limiter(
        _client,
        default_limits=[Limit(_allowed, scope=lambda _: _rate(), shared=True)],
        storage_uri=app.config["SESSION_REDIS_URL"],
        storage_options={"connection_pool": app.extensions["sessions"].connection_pool},
        strategy="fixed-window",
        in_memory_fallback_enabled=True,
        key_prefix="rates",
    )
    limiter.init_app(app)

    def too_many(_: Exception) -> Response:
        breached = limiter.current_limit
        seconds = 1 if breached is None else max(1, breached.reset_at - int(time.time()))
        return refuse(RateLimited(seconds))

    app.register_error_handler(RateLimitExceeded, too_many)
    turns = threading.BoundedSemaphore(app.config["ACCOUNTS_AT_ONCE"])

    def enter() -> None:
        if request.endpoint is not None and _rate() == "accounts":
            if not turns.acquire(blocking=False):
                raise Unavailable("auth_svc")
            g.has_turn = True

    def leave(_: BaseException | None) -> None:
        if g.pop("has_turn", False):
            turns.release()

    app.before_request(enter)
    app.teardown_request(leave)


def _client() -> str:
    """A user counts wherever they are; who is not signed in counts by address, and so does a bad token."""
    caller: Identity | None = g.get("identity")
    return f"user:{caller.user_id}" if caller else f"address:{request.remote_addr}"


def _rate() -> Rate:
    access = declared(current_app.view_functions.get(request.endpoint or ""))
    return access.rate or ("reads" if request.method in ("GET", "HEAD", "OPTIONS") else "writes")


def _allowed() -> str:
    return str(current_app.config["RATES"][_rate()])
