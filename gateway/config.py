"""The gateway's settings, all from the environment."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

MINIMUM_SECRET = 32  #: bytes
LARGEST_BODY = 64 * 1024  #: bytes
INTRODUCTION = Path(__file__).with_name("introduction.txt")
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?\Z")


class MissingSetting(Exception):
    """A setting the gateway cannot do without is missing or too weak."""


def from_environment() -> dict[str, Any]:
    """
    Flask's configuration.

    Raises:
        MissingSetting: names the variable.
    """
    secret = _required("JWT_SECRET_KEY")
    if len(secret) < MINIMUM_SECRET:
        raise MissingSetting(f"JWT_SECRET_KEY needs at least {MINIMUM_SECRET} characters")
    return {
        "AMQP_URI": _required("AMQP_URI"),
        "SESSION_REDIS_URL": _required("SESSION_REDIS_URL"),
        "MAX_CONTENT_LENGTH": LARGEST_BODY,
        "CORS_ORIGINS": _origins(),
        "JWT_SECRET_KEY": secret,
        "JWT_ALGORITHM": "HS256",
        "JWT_DECODE_ALGORITHMS": ["HS256"],
        "JWT_ENCODE_ISSUER": "concert-tickets",
        "JWT_DECODE_ISSUER": "concert-tickets",
        "JWT_ENCODE_AUDIENCE": "concert-tickets-api",
        "JWT_DECODE_AUDIENCE": "concert-tickets-api",
        "JWT_ACCESS_TOKEN_EXPIRES": timedelta(minutes=15),
        "JWT_REFRESH_TOKEN_EXPIRES": timedelta(days=30),
        "API_TITLE": "Concert tickets",
        "API_VERSION": "1.0",
        "OPENAPI_VERSION": "3.1.0",
        "API_SPEC_OPTIONS": {
            "info": {"description": INTRODUCTION.read_text()},
            "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}},
        },
    }


def _origins() -> list[str]:
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


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise MissingSetting(f"{name} is not set")
    return value
