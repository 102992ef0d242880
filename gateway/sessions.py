"""Who is asking: the access token (JWT) and its session in Redis, checked here without an RPC, failing closed."""

import functools
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar, cast

from flask import current_app, g
from flask_jwt_extended import (
    create_access_token,
    create_refresh_token,
    get_jwt,
    get_jwt_identity,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import ExpiredSignatureError, PyJWTError
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from auth_svc.contract import Login, Role, SessionEnded, session_key
from gateway.errors import Forbidden, NotAuthenticated, TokenExpired

P = ParamSpec("P")
R = TypeVar("R")


class Identity(NamedTuple):
    """The user behind the request."""

    user_id: str
    session_id: str
    roles: list[str]


class TokenPair(NamedTuple):
    access_token: str
    refresh_token: str


def connect(url: str) -> Redis:
    """The sessions' Redis: gives up within half a second and repeats nothing by itself."""
    return Redis.from_url(
        url, decode_responses=True, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )


def tokens(login: Login) -> TokenPair:
    """The tokens of a session. The refresh token's `jti` is the session's refresh id: good once."""
    user_id, session = login["user"]["id"], login["session"]
    claims = {"sid": session["id"]}
    return TokenPair(
        access_token=create_access_token(user_id, additional_claims=claims),
        refresh_token=create_refresh_token(user_id, additional_claims={**claims, "jti": session["refresh_id"]}),
    )


def signed_in(*roles: Role) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    The route is for signed-in users, of one of *roles* if there are any; `identity()` tells who.

    Raises (in the request):
        NotAuthenticated, TokenExpired, SessionEnded, Forbidden, RedisError
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            g.identity = _identify()
            if roles and not set(roles) & set(g.identity.roles):
                raise Forbidden
            return view(*args, **kwargs)

        return checked

    return decorate


def identity() -> Identity:
    """Who is asking, in a route that is `signed_in`."""
    return cast(Identity, g.identity)


def identity_if_any() -> Identity | None:
    """Who is asking, in a route for everybody; None without a token. A bad token is refused."""
    return _identify() if _verify(optional=True) else None


def refresh_claims() -> tuple[str, str]:
    """
    The session id and refresh id of the refresh token that came as Bearer.

    Raises:
        NotAuthenticated, TokenExpired
    """
    _verify(refresh=True)
    return _claim("sid"), _claim("jti")


def _identify() -> Identity:
    _verify()
    user_id, session_id = get_jwt_identity(), _claim("sid")
    redis: Redis = current_app.extensions["sessions"]
    owner, roles = cast(list[str | None], redis.hmget(session_key(session_id), "user_id", "roles"))
    if owner is None or owner != user_id:
        raise SessionEnded
    return Identity(user_id, session_id, (roles or "").split())


def _claim(name: str) -> str:
    value = get_jwt().get(name)
    if not isinstance(value, str):
        raise NotAuthenticated
    return value


def _verify(refresh: bool = False, optional: bool = False) -> bool:
    try:
        return verify_jwt_in_request(refresh=refresh, optional=optional) is not None
    except ExpiredSignatureError as error:
        raise TokenExpired from error
    except (JWTExtendedException, PyJWTError, UnicodeDecodeError, ValueError) as error:
        raise NotAuthenticated from error
