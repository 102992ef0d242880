"""The Idempotency-Key header, as the IETF's draft-ietf-httpapi-idempotency-key-header has it."""

import uuid
from typing import Any

from flask import request
from flask_smorest import abort

from gateway.errors import IdempotencyKeyMissing

LONGEST_KEY = 255
EXAMPLE = "b1f0c7de-5a5b-4b1e-9d35-0c2f7a0f6a51"


def key_header(required: bool, description: str) -> dict[str, Any]:
    """The header as the OpenAPI document tells of it."""
    return {
        "in": "header",
        "name": "Idempotency-Key",
        "required": required,
        "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[ -~]+$"},
        "description": description,
        "example": EXAMPLE,
    }


def has_key() -> bool:
    """Whether the request has a key of its own."""
    return bool(request.headers.get("Idempotency-Key"))


def required_key() -> str:
    """
    The request's key.

    Raises:
        IdempotencyKeyMissing
    """
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        raise IdempotencyKeyMissing
    if len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        abort(422, messages={"headers": {"Idempotency-Key": [f"Must be 1 to {LONGEST_KEY} printable characters."]}})
    return key


def key_or_new() -> str:
    """The request's key; a new one without, under which at least this gateway's call may be repeated."""
    return required_key() if has_key() else uuid.uuid4().hex
