"""What a message says of its circumstances, as far as it can be believed; Nameko passes it on with every call."""

import time
from typing import Any

from kombu import Message
from nameko.constants import CALL_ID_STACK_CONTEXT_KEY
from nameko.extensions import DependencyProvider
from nameko.messaging import HeaderDecoder

PREFIX = "nameko."
#: Names in a worker's data. The deadline is this process' own affair and does not travel.
DEADLINE, REDELIVERED, REQUEST_ID = "deadline", "redelivered", "request_id"
#: Characters of a text, calls in a stack.
LONGEST_TEXT, LONGEST_STACK = 200, 10


class SafeHeaders(HeaderDecoder):
    """Texts of ours and a call stack; what else may stand in the headers is not for us."""

    def unpack_message_headers(self, message: Message) -> dict[str, Any]:
        data: dict[str, Any] = dict(own_texts(message.headers, PREFIX))
        stack = message.headers.get(PREFIX + CALL_ID_STACK_CONTEXT_KEY)
        if isinstance(stack, list) and all(isinstance(call, str) for call in stack):
            data[CALL_ID_STACK_CONTEXT_KEY] = stack[-LONGEST_STACK:]
        data[DEADLINE] = deadline(message)
        data[REDELIVERED] = bool(message.delivery_info.get("redelivered"))
        return data


def own_texts(headers: dict[str, Any], without: str = "") -> dict[str, str]:
    """Headers of ours that are texts of a decent length, by their names *without* that prefix."""
    return {
        name.removeprefix(without): value
        for name, value in headers.items()
        if name.startswith(PREFIX) and isinstance(value, str) and len(name) + len(value) <= LONGEST_TEXT
    }


def deadline(message: Message) -> float | None:
    """When, on this process' clock, the sender waits no longer; None: it does not say."""
    expiration = message.properties.get("expiration")
    if not isinstance(expiration, str) or not expiration.isascii() or not expiration.isdigit():
        return None
    return float(getattr(message, "received_at", time.monotonic())) + min(int(expiration[:10]), 10**9) / 1000


class RequestId(DependencyProvider):
    """The id of the HTTP request that this call or event goes back to, or None."""

    def get_dependency(self, worker_ctx: Any) -> str | None:
        return worker_ctx.data.get(REQUEST_ID)


class Redelivered(DependencyProvider):
    """Whether the call was given to another process before, which has died over it or lost its connection."""

    def get_dependency(self, worker_ctx: Any) -> bool:
        return bool(worker_ctx.data.get(REDELIVERED))
