"""What can be told of a request before it is read as HTTP: whether all of it is here, and what it is about."""

import re
from enum import Enum
from typing import NamedTuple

from gateway.config import LARGEST_BODY, OPERATIONS

#: Bytes of a request's line and headers. gunicorn has a limit for each of them, and none for all that is this low.
LARGEST_HEAD = 32 * 1024

FOR_OPERATORS = tuple(path.encode() for path in OPERATIONS)
END_OF_HEAD = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\nContent-Length:[ \t]*(\d{1,19})[ \t]*\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\nTransfer-Encoding:", re.IGNORECASE)
EXPECTS = re.compile(rb"\r\nExpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nConnection:[^\r]*close", re.IGNORECASE)
ORIGIN = re.compile(rb"\r\nOrigin:[ \t]*([!-~]{1,300})[ \t]*\r\n", re.IGNORECASE)
REQUEST_ID = re.compile(rb"\r\nX-Request-ID:[ \t]*([A-Za-z0-9._-]{1,64})[ \t]*\r\n", re.IGNORECASE)


class Kind(Enum):
    """Of what there is a line of its own, so that none holds up the others."""

    OPERATIONS = "operations"  #: health and metrics
    ACCOUNTS = "accounts"  #: logins and what else goes to auth_svc
    REST = "rest"


class Request(NamedTuple):
    """One that is all here, as far as it will be read."""

    kind: Kind
    size: int  #: bytes; what follows them is another request
    lasts: bool  #: the connection, after it
    request_id: str | None  #: as its client calls it


class TooLarge(Exception):
    """The head has no end within LARGEST_HEAD."""


def arrived(received: bytes | bytearray) -> Request | None:
    """
    The first request of what was *received*, None while more of it has to come.

    Whatever is refused without its body is all here when its head is.

    Raises:
        TooLarge
    """
    end = received.find(END_OF_HEAD, 0, LARGEST_HEAD + len(END_OF_HEAD))
    if end < 0:
        if len(received) > LARGEST_HEAD:
            raise TooLarge
        return None
    size = end + len(END_OF_HEAD)
    head = bytes(received[:size])
    length = LENGTH.search(head)
    if length is not None and int(length[1]) <= LARGEST_BODY and not CHUNKED.search(head):
        size += int(length[1])
    if len(received) < size:
        return None
    named = REQUEST_ID.search(head)
    return Request(_kind(head), size, _lasts(head), named[1].decode() if named else None)


def wants_to_be_asked(received: bytes | bytearray) -> bool:
    """Whether a head is here, and its client waits for a word before it sends the body."""
    end = received.find(END_OF_HEAD)
    return end >= 0 and EXPECTS.search(received, 0, end + 2) is not None


def origin(received: bytes | bytearray) -> str | None:
    """The site whose script asks, as its browser says; None if nobody says so. The head must be here."""
    named = ORIGIN.search(received, 0, received.find(END_OF_HEAD) + 2)
    return named[1].decode() if named else None


def _kind(head: bytes) -> Kind:
    path = head.partition(b" ")[2]
    if path.startswith(FOR_OPERATORS):
        return Kind.OPERATIONS
    return Kind.ACCOUNTS if path.startswith(b"/v1/auth/") else Kind.REST


def _lasts(head: bytes) -> bool:
    return b" HTTP/1.1\r\n" in head[: head.find(b"\r\n") + 2] and not CLOSES.search(head)
