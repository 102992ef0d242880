"""As many are let in as are answered within their patience."""

import pytest

from gateway import line
from gateway.line import AT_LEAST, AT_MOST, PACE, PATIENCE, Line


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its one item is the time."""
    now = [1000.0]
    monkeypatch.setattr(line.time, "monotonic", lambda: now[0])
    return now


def fill(line: Line) -> int:
    """How many are inside when nobody else is let in."""
    while line.join():
        pass
    return line.inside


def settle(line: Line, clock: list[float], pace: float) -> None:
    """Answer at *pace* for long."""
    for _ in range(1000):
        fill(line)
        clock[0] += pace
        line.leave()


def test_line_is_not_without_end(clock: list[float]) -> None:
    assert fill(Line(16)) == PATIENCE / PACE


@pytest.mark.parametrize("pace", [0.003, 0.006, 0.01])
def test_as_many_are_let_in_as_are_answered_in_time(clock: list[float], pace: float) -> None:
    many = Line(4)
    settle(many, clock, pace)
    assert fill(many) == pytest.approx(min(AT_MOST * 4, PATIENCE / pace), abs=2)


def test_some_are_let_in_beside_those_in_threads_however_slow_it_is(clock: list[float]) -> None:
    slow = Line(4)
    settle(slow, clock, 2.0)
    assert fill(slow) == AT_LEAST * 4


def test_time_in_which_a_thread_was_free_is_not_the_pace(clock: list[float]) -> None:
    calm = Line(16)
    before = fill(calm)
    for _ in range(before):
        calm.leave()
    for _ in range(1000):
        assert calm.join()
        clock[0] += 10
        calm.leave()
    assert fill(calm) >= before


def test_line_grows_again_when_it_goes_on_faster(clock: list[float]) -> None:
    line = Line(4)
    settle(line, clock, 2.0)
    settle(line, clock, 0.01)
    assert fill(line) == pytest.approx(PATIENCE / 0.01, abs=2)


def test_line_lasts_for_as_long_as_those_are_answered_who_wait_for_a_thread(clock: list[float]) -> None:
    line = Line(4)
    settle(line, clock, 0.01)
    waiting = fill(line) - 4
    assert line.lasts(0.9 * waiting * 0.01) and not line.lasts(1.1 * waiting * 0.01)
    for _ in range(waiting):
        line.leave()
    assert not line.lasts(0.0)
