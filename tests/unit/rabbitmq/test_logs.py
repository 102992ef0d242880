"""One line for each record, and nothing that is written into it becomes a line or a field of its own."""

import io
import json
import logging
import re
import subprocess
import sys
from contextlib import suppress
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rabbitmq import logs
from rabbitmq.logs import Console, Logfmt, fields, quoted
from tests.polling import poll

PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^ "=\\]*)(?: |$)')


def record(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("rabbitmq.relay", logging.INFO, "relay.py", 1, message, arguments, None)
    made.__dict__.update(more)
    return made


def line(*arguments: object, **more: object) -> str:
    return Logfmt("relay").format(record(*arguments, **more))  # type: ignore[arg-type]


def parsed(text: str) -> dict[str, str]:
    """The pairs of a line, which must be nothing but pairs."""
    assert "".join(match.group(0) for match in PAIR.finditer(text)) == text
    return {name: json.loads(value) if value[:1] == '"' else value for name, value in PAIR.findall(text)}


def test_line_says_when_how_bad_who_and_what() -> None:
    said = parsed(line("published %s", "booking_confirmed"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
    assert (said["level"], said["process"], said["logger"]) == ("info", "relay", "rabbitmq.relay")
    assert said["message"] == "published booking_confirmed"


@given(st.text(), st.text())
def test_whatever_is_written_is_one_line_that_reads_back(message: str, value: str) -> None:
    text = line("%s", message, **fields(why=value))
    assert text.isprintable() and text.encode()
    said = parsed(text)
    assert (said["message"], said["why"]) == (message, value)
    assert list(said) == ["time", "level", "process", "pid", "logger", "message", "why"]


@pytest.mark.parametrize("separator", ["\n", "\r", "\x1b[2J", "\u2028", "\x85", "\x00", "\u202e", "\ud800"])
def test_nothing_that_ends_a_line_or_moves_the_cursor_comes_through(separator: str) -> None:
    assert line(f"one{separator}level=error two").isprintable()


def test_long_text_is_cut() -> None:
    assert len(quoted("x" * 100_000)) <= logs.LONGEST + 3


def test_error_and_its_trace_stand_in_the_same_line() -> None:
    try:
        raise KeyError("venue")
    except KeyError:
        said = parsed(line("stumbled", exc_info=sys.exc_info()))
    assert said["error"] == "KeyError: 'venue'"
    assert said["trace"].startswith("Traceback") and "\n" in said["trace"]


def test_of_an_error_that_was_raised_a_thousand_times_the_last_frames_are_shown() -> None:
    error = KeyError("venue")

    def raise_it_again() -> None:
        raise error

    for _ in range(1000):
        with suppress(KeyError):
            raise_it_again()
    said = parsed(line("it failed", exc_info=(KeyError, error, error.__traceback__)))
    assert said["trace"].count("  File ") == logs.FRAMES
    assert said["trace"].endswith("KeyError: 'venue'\n")


def test_id_of_the_request_is_in_what_is_written_on_its_behalf_and_in_nothing_else() -> None:
    def on_its_behalf() -> str:
        logs.request_id.set("r1")
        return line("answered")

    assert parsed(copy_context().run(on_its_behalf))["request_id"] == "r1"
    assert "request_id" not in parsed(line("answered"))


class Written(io.StringIO):
    """A stream that tells what was written at once, and what together."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def log(written: Written) -> logging.Logger:
    """It writes texts as they are."""
    log, console = logging.Logger("console"), Console()
    console.setStream(written)
    log.addHandler(console)
    return log


def test_lines_that_come_within_a_moment_are_written_together_and_soon(log: logging.Logger, written: Written) -> None:
    for number in range(100):
        log.info("line %d", number)
    lines = [f"line {number}" for number in range(100)]
    poll(lambda: "".join(written.pieces).splitlines() == lines)
    assert len(written.pieces) < 20
    log.info("the next")
    poll(lambda: written.pieces[-1] == "the next\n")


def test_warning_is_written_at_once_after_what_came_before_it(log: logging.Logger, written: Written) -> None:
    log.info("before")
    log.warning("now")
    assert written.pieces == ["before\nnow\n"]


def test_line_that_cannot_be_formatted_takes_no_other_along(
    log: logging.Logger, written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("good")
    log.info("%d", "no number")
    log.info("good, too")
    poll(lambda: "".join(written.pieces) == "good\ngood, too\n")
    assert "no number" in capsys.readouterr().err


def test_what_could_not_be_written_holds_up_nothing_that_comes_after_it(
    log: logging.Logger, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with monkeypatch.context() as broken:
        broken.setattr(Written, "write", lambda *_: 1 / 0)
        log.warning("lost")
    log.info("written")
    poll(lambda: written.pieces == ["written\n"])


def test_nothing_is_lost_or_told_twice_when_processes_part_and_end() -> None:
    program = """
import logging, logging.config, os
from rabbitmq import logs
logging.config.dictConfig(logs.settings("relay", "INFO"))
logging.info("before")
if os.fork() == 0:
    logging.info("the child")
else:
    os.wait()
    logging.info("the parent")
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    assert sorted(parsed(line)["message"] for line in said.splitlines()) == ["before", "the child", "the parent"]


def test_settings_are_what_python_wants(capsys: pytest.CaptureFixture[str]) -> None:
    settings = logs.settings("relay", "warning")
    assert settings["root"]["level"] == "WARNING"
    assert settings["formatters"]["line"]["()"] == f"{Logfmt.__module__}.{Logfmt.__qualname__}"
