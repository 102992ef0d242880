"""Who is asking: the token's session in Redis, looked up here without an RPC, failing closed."""

import time
from typing import NamedTuple, cast

from flask import current_app, g, request

from auth_svc.contract import SessionEnded, session_key, sessions_key
from gateway import tokens
from gateway.access import Access, declared
from gateway.errors import Forbidden, NotAuthenticated, TokenExpired
from rabbitmq.redis_trips import RedisTrips


class Identity(NamedTuple):
    """The user behind the request."""

    user_id: str
    session_id: str
    roles: list[str]


def recognise() -> None:
    """
    Before a request: find out who is asking, if the route wants to know. A refusal waits until requests are counted.

    Raises:
        RedisError
    """
    wanted = _access().token
    try:
        if wanted == "refresh":
            g.refresh_claims = tokens.read(refresh=True)
        elif wanted == "access" or (wanted == "maybe" and "Authorization" in request.headers):
            g.identity = _identify(tokens.read())
    except (NotAuthenticated, TokenExpired, SessionEnded) as refusal:
        g.refusal = refusal


def admit() -> None:
    """
    Before a request, after `recognise`: let it through if its route allows it.

    Raises:
        NotAuthenticated, TokenExpired, SessionEnded, Forbidden
    """
    if "refusal" in g:
        raise g.refusal
    roles = _access().roles
    if roles and not set(roles) & set(identity().roles):
        raise Forbidden


def identity() -> Identity:
    """Who is asking, in a route that is `signed_in`."""
    return cast(Identity, g.identity)


def identity_if_any() -> Identity | None:
    """Who is asking, in a route that is `maybe_signed_in`; None without a token."""
    return cast(Identity | None, g.get("identity"))


def refresh_claims() -> tuple[str, str]:
    """Session id and refresh id of the token that came, in a route that is `with_refresh_token`."""
    claims: tokens.Claims = g.refresh_claims
    return claims.session_id, claims.id


def _access() -> Access:
    if request.endpoint is None or request.method == "OPTIONS":  # Flask answers these itself, and tells nothing
        return Access(None)
    return declared(current_app.view_functions[request.endpoint])


def _identify(claims: tokens.Claims) -> Identity:
    """The session is looked up and noted as seen in one round trip; what has ended is not noted."""
    redis: RedisTrips = current_app.extensions["session_trips"]
    (owner, roles), _ = redis.ask(
        ("HMGET", session_key(claims.session_id), "user_id", "roles"),
        ("ZADD", sessions_key(claims.user_id), "XX", "GT", int(time.time()), claims.session_id),
    )
    if owner is None or owner != claims.user_id:
        raise SessionEnded
    return Identity(claims.user_id, claims.session_id, (roles or "").split())
