"""Tokens that come by mail and are good once: what is stored of them is their hash."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

RESET_LIFE = timedelta(minutes=30)
VERIFICATION_LIFE = timedelta(days=1)


class NewToken(NamedTuple):
    """A token that nobody has yet."""

    text: str
    hash: str
    expires_at: datetime


def new(now: datetime, life: timedelta) -> NewToken:
    """An unguessable token that is good until *life* from *now*."""
    text = secrets.token_urlsafe(32)
    return NewToken(text, hash_of(text), now + life)


def hash_of(token: str) -> str:
    """By which a token is found. It has 256 random bits, so that a plain hash gives nothing away."""
    return hashlib.sha256(token.encode()).hexdigest()
