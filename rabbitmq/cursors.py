"""Cursors: the place in a list after which its next page begins. They are opaque to clients, and of two kinds."""

import base64
import json
from datetime import datetime

from rabbitmq.times import from_wire, to_wire

#: In a list sorted by a date: the last one's date and id.
ByDate = tuple[datetime, str]
#: In a list sorted by relevance: the last one's relevance, date and id.
ByRelevance = tuple[float, datetime, str]


class UnreadableCursor(ValueError):
    """This is no cursor that a page of this list has given."""


def write_by_date(moment: datetime, last_id: str) -> str:
    """The cursor for what comes after it."""
    return _write(to_wire(moment), last_id)


def write_by_relevance(relevance: float, moment: datetime, last_id: str) -> str:
    """The cursor for what comes after it."""
    return _write(relevance, to_wire(moment), last_id)


def read_by_date(cursor: str) -> ByDate:
    """
    Raises:
        UnreadableCursor
    """
    try:
        moment, last_id = _read(cursor)
        return from_wire(moment), _id(last_id)
    except (ValueError, TypeError) as error:
        raise UnreadableCursor from error


def read_by_relevance(cursor: str) -> ByRelevance:
    """
    Raises:
        UnreadableCursor
    """
    try:
        relevance, moment, last_id = _read(cursor)
        return float(relevance), from_wire(moment), _id(last_id)
    except (ValueError, TypeError, OverflowError) as error:
        raise UnreadableCursor from error


def _write(*place: str | float) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _read(cursor: str) -> list[str]:
    place = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    if not isinstance(place, list):
        raise UnreadableCursor
    return place


def _id(value: object) -> str:
    text = str(value)
    text.encode()  # JSON can write half a character, MongoDB can't read it
    return text
