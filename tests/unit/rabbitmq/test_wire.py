"""Frames and bodies from whoever: read, or said to be unreadable, and nothing else."""

import json
import struct
from typing import Any

import pytest
from amqp.serialization import decode_properties_basic, loads
from hypothesis import given
from hypothesis import strategies as st
from kombu import Message

from rabbitmq import wire
from rabbitmq.wire import Unreadable, read, readable_delivery, readable_header

short_texts = st.binary(max_size=255)


def delivery(consumer: bytes, number: int, redelivered: bool, exchange: bytes, key: bytes) -> bytes:
    """A frame of Basic.Deliver."""
    texts = [bytes([len(text)]) + text for text in (consumer, exchange, key)]
    return struct.pack(">HH", 60, 60) + texts[0] + struct.pack(">QB", number, redelivered) + texts[1] + texts[2]


@given(short_texts, st.integers(0, 2**64 - 1), st.booleans(), short_texts, short_texts)
def test_any_delivery_can_be_read_and_keeps_its_number(
    consumer: bytes, number: int, redelivered: bool, exchange: bytes, key: bytes
) -> None:
    payload = readable_delivery(delivery(consumer, number, redelivered, exchange, key))
    (_, got_number, got_redelivered, _, got_key), _ = loads("sLbss", payload, 4)
    assert (got_number, got_redelivered) == (number, redelivered)
    assert len(got_key.encode()) == len(key)


@given(st.text(max_size=60), st.integers(0, 2**64 - 1))
def test_delivery_of_ours_is_left_as_it_is(key: str, number: int) -> None:
    payload = delivery(b"c1", number, False, b"booking_svc.events", key.encode())
    assert readable_delivery(payload) == payload


@given(st.binary(max_size=300), st.integers(0, 2**64 - 1))
def test_any_properties_can_be_read_or_are_replaced(content: bytes, size: int) -> None:
    payload = struct.pack(">HxxQ", 60, size) + content
    readable = readable_header(payload)
    properties, _ = decode_properties_basic(readable, 12)
    assert all(isinstance(name, str) for name in properties.get("application_headers", {}))
    assert readable[:12] == payload[:12], "the size of the body is not the properties' affair"


def message(body: bytes = b"{}", **more: Any) -> Message:
    return Message(body, **{"content_type": "application/json", "content_encoding": "utf-8", **more})


@given(st.binary(max_size=200))
def test_any_body_is_read_or_unreadable(body: bytes) -> None:
    try:
        read(message(body))
    except Unreadable:
        with pytest.raises((ValueError, RecursionError)):
            json.loads(body.decode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(), lambda inner: st.lists(inner), max_leaves=20
)


@given(json_values)
def test_json_is_read_as_it_is(value: Any) -> None:
    assert read(message(json.dumps(value).encode())) == value


def test_json_makes_no_objects() -> None:
    asked = {"__type__": "datetime", "__value__": "2026-12-01"}
    assert read(message(json.dumps(asked).encode())) == asked


@pytest.mark.parametrize("encoding", ["zlib_codec", "bz2", "hex", "utf-7", "utf-16", "rot13", "binary", "", None, 5])
def test_only_encodings_that_inflate_nothing_are_read(encoding: Any) -> None:
    if not encoding:
        assert read(message(content_encoding=encoding)) == {}
    else:
        with pytest.raises(Unreadable, match="encoded"):
            read(message(content_encoding=encoding))


@pytest.mark.parametrize("content_type", [None, "", "application/data", "application/x-python-serialize", "text/plain"])
def test_only_json_is_read(content_type: Any) -> None:
    with pytest.raises(Unreadable, match="not JSON"):
        read(message(content_type=content_type))


def test_body_above_the_limit_is_not_even_parsed() -> None:
    assert read(message(b" " * (wire.LARGEST - 2) + b"{}")) == {}
    with pytest.raises(Unreadable, match="bytes"):
        read(message(b" " * (wire.LARGEST - 1) + b"{}"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "9" * 5000])
def test_numbers_that_json_does_not_know_are_unreadable(number: str) -> None:
    with pytest.raises(Unreadable):
        read(message(number.encode()))
