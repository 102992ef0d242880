"""Times on the wire."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitmq.times import from_wire, from_wire_or_none, to_wire, to_wire_or_none

moments = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(moments)
def test_time_survives_the_wire_to_the_millisecond(moment: datetime) -> None:
    assert from_wire(to_wire(moment)) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@given(moments)
def test_text_is_the_same_before_and_after_a_journey(moment: datetime) -> None:
    """MongoDB keeps milliseconds: what was answered at creation must be what is read later."""
    assert to_wire(from_wire(to_wire(moment))) == to_wire(moment)


def test_time_is_told_in_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    assert to_wire(datetime(2026, 12, 1, 20, 0, tzinfo=berlin)) == "2026-12-01T19:00:00Z"
    assert from_wire("2026-12-01T20:00:00+01:00") == datetime(2026, 12, 1, 19, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-12-01T19:00:00", "2026-13-01T19:00:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_wire(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_moment_that_utc_has_no_name_for_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_wire(text)


def test_no_time_stays_no_time() -> None:
    assert to_wire_or_none(None) is None
    assert from_wire_or_none(None) is None
