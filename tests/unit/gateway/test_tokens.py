"""Reading tokens: a good one is verified once, and asked each time whether it has expired."""

import time
from datetime import datetime, tzinfo

import pytest
from flask import Flask

from gateway import config, tokens
from gateway.errors import NotAuthenticated, TokenExpired


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Flask:
    for name, value in {"AMQP_URI": "amqp://", "SESSION_REDIS_URL": "redis://", "JWT_SECRET_KEY": "k" * 32}.items():
        monkeypatch.setenv(name, value)
    app = Flask("gateway")
    app.config.update(config.from_environment())
    tokens.register(app)
    return app


@pytest.fixture
def pair(gateway: Flask) -> tokens.TokenPair:
    session = {"id": "s", "refresh_id": "r", "refreshed_at": int(time.time())}
    with gateway.app_context():
        return tokens.issue({"user": {"id": "u"}, "session": session})  # type: ignore[typeddict-item]


class Clock:
    """What PyJWT asks for the time."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self, tz: tzinfo) -> datetime:
        return datetime.fromtimestamp(self._now, tz)


def read(gateway: Flask, token: str, scheme: str = "Bearer", refresh: bool = False) -> tokens.Claims:
    with gateway.test_request_context(headers={"Authorization": f"{scheme} {token}"}):
        return tokens.read(refresh)


def test_good_token_is_verified_once_and_expires_all_the_same(
    gateway: Flask, pair: tokens.TokenPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(gateway, pair.access_token)
    assert (first.user_id, first.session_id) == ("u", "s")
    assert read(gateway, pair.access_token, "bEARER") == first
    assert gateway.extensions["verified"].cache_info().misses == 1
    monkeypatch.setattr("gateway.tokens.time.time", lambda: float(first.expires_at))
    with pytest.raises(TokenExpired):
        read(gateway, pair.access_token)


def test_token_of_a_clock_that_is_a_little_ahead_is_good_and_expires_to_the_second(
    gateway: Flask, pair: tokens.TokenPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another gateway, or, for the refresh token, of auth_svc."""
    issued_at = time.time()
    with monkeypatch.context() as patched:
        patched.setattr("jwt.api_jwt.datetime", Clock(issued_at - 55))
        assert read(gateway, pair.access_token).user_id == "u"
        assert read(gateway, pair.refresh_token, refresh=True).user_id == "u"
    gateway.extensions["verified"].cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr("jwt.api_jwt.datetime", Clock(issued_at - 70))
        with pytest.raises(NotAuthenticated):
            read(gateway, pair.access_token)
    in_fifteen_minutes = issued_at + 15 * 60 + 1
    monkeypatch.setattr("jwt.api_jwt.datetime", Clock(in_fifteen_minutes))
    monkeypatch.setattr("gateway.tokens.time.time", lambda: in_fifteen_minutes)
    with pytest.raises(TokenExpired):
        read(gateway, pair.access_token)


def test_bad_token_is_remembered_by_nobody(gateway: Flask, pair: tokens.TokenPair) -> None:
    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            read(gateway, pair.access_token[:-4] + "AAAA")
    assert gateway.extensions["verified"].cache_info().currsize == 0


@pytest.mark.parametrize("scheme", ["Basic", "Bearer x", ""])
def test_other_schemes_are_refused(gateway: Flask, pair: tokens.TokenPair, scheme: str) -> None:
    with pytest.raises(NotAuthenticated):
        read(gateway, pair.access_token, scheme)


def test_token_of_one_kind_is_not_taken_for_the_other(gateway: Flask, pair: tokens.TokenPair) -> None:
    assert read(gateway, pair.refresh_token, refresh=True).id == "r"
    for token, refresh in ((pair.refresh_token, False), (pair.access_token, True)):
        with pytest.raises(NotAuthenticated):
            read(gateway, token, refresh=refresh)
