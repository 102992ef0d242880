"""The gateway's settings, all from the environment."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from limits import parse_many

MINIMUM_SECRET = 32  #: bytes
#: Where paths begin that machines and operators ask for: health and metrics.
OPERATIONS = ("/health/", "/metrics")
LARGEST_BODY = 64 * 1024  #: bytes
INTRODUCTION = Path(__file__).with_name("introduction.txt")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?\Z")


class MissingSetting(Exception):
    """A setting the gateway cannot do without is missing, too weak, or makes no sense."""


def answered_at_once() -> int:
    """Requests that a process answers at the same time: its threads."""
    return int(os.environ.get("GATEWAY_THREADS", "16"))


def from_environment() -> dict[str, Any]:
    """
    Flask's configuration.

    Raises:
        MissingSetting: names the variable.
    """
    half = max(1, answered_at_once() // 2)
    return {
        "AMQP_URI": _required("AMQP_URI"),
        "SESSION_REDIS_URL": _required("SESSION_REDIS_URL"),
        # Without it booking_svc is asked for each hold.
        "GATEWAY_REDIS_URL": os.environ.get("GATEWAY_REDIS_URL") or None,
        "MAX_CONTENT_LENGTH": LARGEST_BODY,
        "CORS_ORIGINS": cors_origins(),
        "JWT_SECRET_KEYS": _keys(),
        "JWT_ALGORITHM": "HS256",
        "JWT_DECODE_ALGORITHMS": ["HS256"],
        "JWT_ENCODE_ISSUER": "concert-tickets",
        "JWT_DECODE_ISSUER": "concert-tickets",
        "JWT_ENCODE_AUDIENCE": "concert-tickets-api",
        "JWT_DECODE_AUDIENCE": "concert-tickets-api",
        "JWT_COOKIE_CSRF_PROTECT": False,  # no token is ever in a cookie
        # Seconds that the clock of whoever issued a token may be ahead. When it expires is asked without (tokens.py).
        "JWT_DECODE_LEEWAY": 60,
        "JWT_ACCESS_TOKEN_EXPIRES": timedelta(minutes=15),
        "JWT_REFRESH_TOKEN_EXPIRES": timedelta(days=30),
        "TRUSTED_PROXIES": _proxies(),
        # Of the requests that a process answers at the same time, so many may cost a password's hash or a mail.
        "ACCOUNTS_AT_ONCE": half,
        # And so many may wait for a service that answers nobody.
        "UNANSWERED_AT_ONCE": half,
        "RATELIMIT_ENABLED": os.environ.get("RATELIMIT_ENABLED", "").lower() != "false",
        # How often a user, or an address without one, may ask; `accounts`: what costs more: a hash, a mail, a file.
        "RATES": {
            "reads": _rate("RATELIMIT_READS", "1200 per minute"),
            "writes": _rate("RATELIMIT_WRITES", "300 per minute"),
            "accounts": _rate("RATELIMIT_ACCOUNTS", "120 per minute"),
        },
        "API_TITLE": "Concert tickets",
        "API_VERSION": "1.0",
        "OPENAPI_VERSION": "3.1.0",
        "API_SPEC_OPTIONS": {
            "info": {"description": INTRODUCTION.read_text()},
            "components": {
                "securitySchemes": {
                    name: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": description}
                    for name, description in (
                        ("bearer", "An access token."),
                        ("refresh_token", "A refresh token, good once."),
                    )
                }
            },
        },
    }


def cors_origins() -> list[str]:
    """
    Sites whose scripts may call the API.

    Raises:
        MissingSetting: one is no origin, such as `https://shop.example.org`; `*` would be everybody.
    """
    origins = os.environ.get("CORS_ORIGINS", "").replace(",", " ").split()
    for origin in origins:
        if not ORIGIN.match(origin):
            raise MissingSetting(f"CORS_ORIGINS: {origin} is no origin such as https://shop.example.org")
    return origins


def _keys() -> list[str]:
    """The key to sign tokens with, and the one before it, whose tokens are accepted while they last."""
    keys = [_required("JWT_SECRET_KEY")]
    if os.environ.get("JWT_PREVIOUS_SECRET_KEY"):
        keys.append(os.environ["JWT_PREVIOUS_SECRET_KEY"])
    for name, key in zip(("JWT_SECRET_KEY", "JWT_PREVIOUS_SECRET_KEY"), keys, strict=False):
        if len(key) < MINIMUM_SECRET:
            raise MissingSetting(f"{name} needs at least {MINIMUM_SECRET} characters")
    return keys


def _rate(name: str, default: str) -> str:
    rate = os.environ.get(name) or default
    try:
        parse_many(rate)
    except ValueError as error:
        raise MissingSetting(f"{name} is no rate such as `{default}`") from error
    return rate


def _proxies() -> int:
    number = os.environ.get("TRUSTED_PROXIES") or "0"
    if number not in map(str, range(10)):
        raise MissingSetting("TRUSTED_PROXIES is how many proxies there are in front, 0 to 9")
    return int(number)


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise MissingSetting(f"{name} is not set")
    return value
