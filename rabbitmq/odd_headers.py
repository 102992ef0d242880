"""Reading messages whose headers pika cannot: dates in far years, tables a thousand deep, kinds it does not know."""

from collections.abc import Iterator
from contextlib import contextmanager
from struct import unpack_from
from typing import Any

from pika import data

#: Stands for headers that could not be read.
UNREADABLE = {"x-unreadable": "its headers cannot be read"}


@contextmanager
def tolerated() -> Iterator[None]:
    """
    Within the block pika reads such headers as UNREADABLE; outside of it they end the connection.

    For an operator's look: what is broken must not hide what is not.
    """
    data.decode_table = _decode_table
    try:
        yield
    finally:
        data.decode_table = _strict


_strict = data.decode_table


def _decode_table(encoded: bytes, offset: int) -> tuple[dict[Any, Any], int]:
    try:
        return _strict(encoded, offset)
    except Exception:  # whatever it is, how long it is stands before it
        return UNREADABLE, offset + 4 + unpack_from(">I", encoded, offset)[0]
