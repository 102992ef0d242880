"""
What comes over the wire, read without trust.

py-amqp ends a connection, or the whole process, over a routing key that is no UTF-8, a date in the year 40,000 or a
header nested a thousand deep; kombu inflates what a header calls compressed, whatever it grows to, and makes objects
of JSON that asks for it. So the frames are looked at first, and bodies are read here.
"""

import json
from collections.abc import Callable
from struct import pack, unpack_from
from typing import Any

from amqp import method_framing  # type: ignore[import-untyped]
from amqp.serialization import decode_properties_basic  # type: ignore[import-untyped]
from amqp.spec import Basic  # type: ignore[import-untyped]
from kombu import Message

JSON = "application/json"
#: Bytes of a message's body. The largest of ours are the terms of a hall with thousands of named seats.
LARGEST = 1024 * 1024
#: Stands where a message's properties could not be read, and says why.
UNREADABLE_HEADER = "x-unreadable"
METHOD, HEADER = 1, 2
_CLASS_AND_SIZE, _HEADERS_ONLY = 12, 0x2000

Frame = tuple[int, int, Any]


class Unreadable(Exception):
    """No message of ours looks like this."""


def frame_handler(connection: Any, callback: Callable[..., Any]) -> Callable[[Frame], bool]:
    """py-amqp's frame handler, which gets only what it can read. For `transport_options`."""
    on_frame = method_framing.frame_handler(connection, callback)

    def on_any_frame(frame: Frame) -> bool:
        kind, channel, payload = frame
        if kind == METHOD and unpack_from(">HH", payload) == Basic.Deliver:
            payload = readable_delivery(bytes(payload))
        elif kind == HEADER:
            payload = readable_header(bytes(payload))
        return bool(on_frame((kind, channel, payload)))

    return on_any_frame


def readable_delivery(payload: bytes) -> bytes:
    """The frame of a delivery, its consumer tag, exchange and routing key with `?` for what is no UTF-8."""
    try:
        payload.decode()
        return payload
    except UnicodeDecodeError:  # perhaps the delivery's number is all that is no text
        readable = bytearray(payload)
        at = _readable_text(readable, 4)
        at = _readable_text(readable, at + 9)  # past the delivery's number and the bit "redelivered"
        _readable_text(readable, at)
        return bytes(readable)


def _readable_text(buffer: bytearray, at: int) -> int:
    """Make the short text at *at* readable; returns where the next field begins."""
    begin, end = at + 1, at + 1 + buffer[at]
    try:
        buffer[begin:end].decode()
    except UnicodeDecodeError:
        buffer[begin:end] = bytes(byte if byte < 0x80 else ord("?") for byte in buffer[begin:end])
    return end


def readable_header(payload: bytes) -> bytes:
    """The frame of a message's properties; where py-amqp cannot read them, one that says so instead."""
    try:
        properties, _ = decode_properties_basic(payload, _CLASS_AND_SIZE)
        headers = properties.get("application_headers", {})
        if not all(isinstance(name, str) for name in headers):
            return _unreadable(payload, "a header's name is no UTF-8")
        if "compression" in headers:
            return _unreadable(payload, "it is compressed")
    except Exception as error:  # whatever it is, it is about this message
        return _unreadable(payload, f"its properties: {type(error).__name__}")
    return payload


def _unreadable(payload: bytes, why: str) -> bytes:
    name, value = UNREADABLE_HEADER.encode(), why.encode()
    table = pack(">B", len(name)) + name + b"S" + pack(">I", len(value)) + value
    return payload[:_CLASS_AND_SIZE] + pack(">HI", _HEADERS_ONLY, len(table)) + table


def read(message: Message) -> Any:
    """
    The JSON in the message's body.

    Raises:
        Unreadable: there is none, or more than LARGEST bytes, or it is not what it says.
    """
    if UNREADABLE_HEADER in message.headers:
        raise Unreadable(str(message.headers[UNREADABLE_HEADER]))
    if message.content_type != JSON:
        raise Unreadable(f"it is {message.content_type!r} and not JSON"[:200])
    # Any other encoding may inflate it: Python counts zip among them.
    if str(message.content_encoding or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Unreadable(f"it is encoded as {message.content_encoding!r}"[:200])
    body = message.body or b""
    if len(body) > LARGEST:
        raise Unreadable(f"it has {len(body)} bytes, more than {LARGEST}")
    try:
        return json.loads(body.decode() if isinstance(body, bytes) else body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON: {type(error).__name__}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
