"""Times on the wire: ISO-8601, UTC, `2026-12-01T19:00:00Z`."""

from datetime import UTC, datetime


def to_wire(moment: datetime) -> str:
    """*moment* (aware) as text; milliseconds only where there are any."""
    timespec = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def from_wire(text: str) -> datetime:
    """
    The moment *text* tells of, in UTC.

    Raises:
        ValueError: it is no ISO-8601 time, has no offset, or is out of the calendar in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} lies before year 1 or after year 9999 in UTC") from error


def to_wire_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else to_wire(moment)


def from_wire_or_none(text: str | None) -> datetime | None:
    return None if text is None else from_wire(text)
