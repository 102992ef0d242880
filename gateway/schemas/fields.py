"""The kinds of values there are in the API, and what every noun has in common."""

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from rabbitmq import cursors
from rabbitmq.times import from_wire, to_wire

#: On one line, read in one direction: also without Unicode's line ends and what reverses the text after it. Nor with
#: an encoded word of a mail's header (RFC 2047), in which all of that could come back.
NO_CONTROL = validate.Regexp(
    r"^(?!.*=\?[^?]*\?[bqBQ]\?)[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]*\Z",
    error="Must not contain control characters.",
)
#: JSON can write half a character ("\ud800"); no database and no mail can.
WHOLE_CHARACTERS = validate.Regexp(r"^[^\ud800-\udfff]*\Z", re.DOTALL, error="Must be text.")
#: What every mail server understands, and one spelling for one mailbox ("ada"@... is ada@...).
PLAIN_ADDRESS = validate.Regexp(
    r"^[!#-~]*\Z", error="Must be in ASCII and without quotes; a domain such as müller.de is written xn--mller-kva.de."
)
#: Spaces, and what is as invisible: alone they are no name and no title.
INVISIBLE = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]*\Z")
DAY = re.compile(r"^\d{4}-\d{2}-\d{2}\Z", re.ASCII)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class Text(fields.String):
    """A text that goes on without the spaces around it. What is wrong with it is looked for before they are gone."""

    def deserialize(self, *args: Any, **kwargs: Any) -> Any:
        value = super().deserialize(*args, **kwargs)
        return value.strip() if isinstance(value, str) else value


def text(longest: int, *, required: bool = True, lines: bool = False, **kwargs: Any) -> fields.String:
    """A text of 1 to *longest* characters, one of them visible, on one line unless *lines*."""
    rules: list[Any] = [validate.Length(1, longest), not_blank]
    if lines:
        rules.append(validate.Regexp(r"^[^\x00\ud800-\udfff]*\Z", re.DOTALL, error="Must be text."))
    else:
        rules.append(NO_CONTROL)
    return Text(required=required, validate=rules, **kwargs)


def not_blank(value: str) -> None:
    """
    Raises:
        ValidationError: there is nothing to see in *value*.
    """
    if INVISIBLE.match(value):
        raise ValidationError("Must not be blank.")


class WholeNumber(fields.Integer):
    """An integer from *least* to *most*; `true` and `1.0` are none."""

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(least, most), **kwargs)


class Time(fields.AwareDateTime):
    """An ISO-8601 time with an offset, `2026-12-01T19:00:00Z`; it goes on in UTC."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", validate=None, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        moment = super()._deserialize(value, attr, data, **kwargs)
        if not EARLIEST <= moment < LATEST:
            raise ValidationError("Must be between the years 2000 and 2200.")
        return to_wire(moment)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return value  # services speak in this form


class DayOrTime(Time):
    """A time as above, or a day, `2026-12-01`: its beginning in UTC; with *whole_day* its end."""

    def __init__(self, whole_day: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._whole_day = whole_day

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, str) and DAY.match(value):
            with contextlib.suppress(ValueError, OverflowError):  # there is no such day: refused as what it is not
                day = date.fromisoformat(value) + timedelta(days=int(self._whole_day))
                value = f"{day.isoformat()}T00:00:00Z"
        return super()._deserialize(value, attr, data, **kwargs)


def local_times(*names: str) -> fields.Function:
    """The times of these *names* once more, as a clock in the venue's zone shows them, with its offset from UTC."""

    def local(obj: Mapping[str, Any]) -> dict[str, Any]:
        zone = ZoneInfo(obj["venue"]["timezone"])
        times = {name: obj[name] and from_wire(obj[name]).astimezone(zone).isoformat() for name in names}
        return {"timezone": zone.key, **times}

    example = {"timezone": "Europe/Berlin", **dict.fromkeys(names, "2027-01-20T20:00:00+01:00")}
    metadata = {"description": "the times in the venue's time zone", "type": "object", "example": example}
    return fields.Function(local, metadata=metadata)


class PageArguments(Schema):
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    cursor = fields.String(
        load_default=None,
        validate=[validate.Length(max=500), WHOLE_CHARACTERS],
        metadata={"description": "the `next_cursor` of the page before"},
    )

    @validates_schema
    def check_cursor(self, data: dict[str, Any], **_: Any) -> None:
        if data["cursor"] is None:
            return
        try:
            self.read_cursor(data["cursor"], data)
        except cursors.UnreadableCursor as error:
            raise ValidationError("Must be the next_cursor of a page of the same list.", "cursor") from error

    def read_cursor(self, cursor: str, data: dict[str, Any]) -> object:
        """
        What *cursor* says, in a list that is asked for with *data*.

        Raises:
            UnreadableCursor
        """
        return cursors.read_by_date(cursor)


class Money(Schema):
    amount = WholeNumber(0, 100_000_000, required=True, metadata={"description": "minor units", "example": 4500})
    currency = fields.String(
        required=True, validate=validate.Regexp(r"^[A-Z]{3}\Z"), metadata={"description": "ISO 4217", "example": "EUR"}
    )


class Health(Schema):
    status = fields.String(required=True)
    checks = fields.Dict(keys=fields.String(), values=fields.String())
