"""Access and refresh tokens (JWT): made and read with one algorithm, and nothing of them is taken on trust."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jwt
from flask import Flask, current_app, request
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token

from auth_svc.contract import Login
from gateway.errors import NotAuthenticated, TokenExpired

#: What every token must say. PyJWT compares iss and aud, and the times with the clock, but only if they are there.
TEXTS = ("iss", "aud", "sub", "jti", "sid", "type")
TIMES = ("iat", "nbf", "exp")
LATEST = 2**40  #: seconds since 1970
#: Good tokens that a process remembers, about a kilobyte each. Whoever is here asks more than once.
REMEMBERED = 10_000
#: What a token's header may say. No key is fetched from where a token points to.
HEADERS = {"alg", "typ", "kid"}


class TokenPair(NamedTuple):
    access_token: str
    refresh_token: str


class Claims(NamedTuple):
    """What a token says, and its signature vouches for."""

    user_id: str
    session_id: str
    id: str  #: of a refresh token: the session's refresh id
    type: str
    expires_at: int


def register(app: Flask) -> None:
    """Sign with the first of JWT_SECRET_KEYS, accept all of them: so a key is changed while tokens of the old live."""
    keys = {key_id(secret): secret for secret in app.config["JWT_SECRET_KEYS"]}
    signing = app.config["JWT_SECRET_KEYS"][0]
    manager = JWTManager(app)

    @manager.encode_key_loader
    def key_to_sign_with(_: Any) -> str:
        return str(signing)

    @manager.additional_headers_loader
    def headers(_: Any) -> dict[str, str]:
        return {"kid": key_id(signing)}

    # What is wrong is not remembered, and looked at each time.
    app.extensions["verified"] = lru_cache(REMEMBERED)(partial(_verified, keys, app.config))


def _is_whole(claims: dict[str, Any]) -> bool:
    """Whether all is there, in its form."""
    texts = all(isinstance(claims.get(name), str) and claims[name] for name in TEXTS)
    return texts and all(type(claims.get(name)) is int and 0 < claims[name] < LATEST for name in TIMES)


def key_id(secret: str) -> str:
    """The name of a key, which tells nothing of it."""
    return hmac.digest(secret.encode(), b"key id", hashlib.sha256).hex()[:16]


def issue(login: Login) -> TokenPair:
    """
    The tokens of a session. The refresh token's `jti` is the session's refresh id: good once.

    For the same refresh id it is the same text, so that an answer that was lost can be given again.
    """
    user_id, session = login["user"]["id"], login["session"]
    since, life = session["refreshed_at"], int(current_app.config["JWT_REFRESH_TOKEN_EXPIRES"].total_seconds())
    refresh = {"jti": session["refresh_id"], "iat": since, "nbf": since, "exp": since + life}
    return TokenPair(
        access_token=create_access_token(user_id, additional_claims={"sid": session["id"]}),
        refresh_token=create_refresh_token(user_id, additional_claims={"sid": session["id"], **refresh}),
    )


def expires_in() -> int:
    """Seconds that an access token is good for."""
    return int(current_app.config["JWT_ACCESS_TOKEN_EXPIRES"].total_seconds())


def read(refresh: bool = False) -> Claims:
    """
    The claims of the access token, or *refresh* token, that came as Bearer.

    Raises:
        NotAuthenticated, TokenExpired
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":  # in any case, says RFC 9110
        raise NotAuthenticated
    try:
        claims: Claims = current_app.extensions["verified"](token)
    except Exception as error:  # whatever else a crafted token makes of its reader, it is not ours
        raise NotAuthenticated from error
    if claims.expires_at <= time.time():  # asked each time, whenever it was verified
        raise TokenExpired
    if claims.type != ("refresh" if refresh else "access"):
        raise NotAuthenticated
    return claims


def _verified(keys: Mapping[str, str], config: Mapping[str, Any], token: str) -> Claims:
    """
    What *token* says, if one of *keys* signed it.

    By PyJWT alone: flask_jwt_extended reads each token four times.

    Raises:
        NotAuthenticated, and whatever else a crafted token makes of its reader.
    """
    header = jwt.get_unverified_header(token)
    if not header.keys() <= HEADERS or header.get("kid") not in keys:
        raise NotAuthenticated
    claims = jwt.decode(
        token,
        keys[header["kid"]],
        algorithms=config["JWT_DECODE_ALGORITHMS"],
        audience=config["JWT_DECODE_AUDIENCE"],
        issuer=config["JWT_DECODE_ISSUER"],
        leeway=config["JWT_DECODE_LEEWAY"],
        options={"verify_exp": False},  # read() asks, to the second, for each request
    )
    if not _is_whole(claims):
        raise NotAuthenticated
    return Claims(claims["sub"], claims["sid"], claims["jti"], claims["type"], claims["exp"])
