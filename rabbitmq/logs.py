"""
The one form of every process' log: a line of `name=value` pairs (logfmt), whatever is written into it.

    time=2026-12-01T19:00:00.120Z level=info process=booking_svc logger=rabbitmq.rpc_method request_id=8f14e45f
    message=answered call=book_tickets outcome=answered seconds=0.012

What comes from outside cannot begin a line or a field of its own: it stands in quotes, and what is not printable is
escaped. The id of the HTTP request that all goes back to is in each line that is written on its behalf.
"""

import _thread
import json
import logging
import os
import re
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

#: The HTTP request on whose behalf this thread, or this worker, does what it does.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# No line tells of threads; to ask for their names takes a service a quarter of what a line costs.
logging.logThreads = logging.logMultiprocessing = False

#: Characters of a value; the rest is cut.
LONGEST = 8000
#: The last frames of a trace that are shown. An error that is raised again for each of thousands of retries, as PyMongo
#: does it over a direct connection without a primary, has a longer trace each time: to write it took eight seconds.
FRAMES = 20
#: Seconds that a line may wait for others to be written with.
GATHERED = 0.05
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+*()\[\]{}<>,;#%-]+")


def fields(**values: Any) -> dict[str, Any]:
    """More fields for a line: `log.info("answered", extra=fields(call="ping"))`."""
    return {"fields": values}


def quoted(value: Any) -> str:
    """*value* as it stands behind `name=`."""
    text = str(value)
    if len(text) > LONGEST:
        text = text[:LONGEST] + "..."
    if _PLAIN.fullmatch(text):
        return text
    written = json.dumps(text, ensure_ascii=False)
    return written if written.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in written)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


class Logfmt(logging.Formatter):
    """Writes a record as one line; *process* is the program's name."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
        }
        line["request_id"] = request_id.get()
        line["message"] = record.getMessage()
        line.update(record.__dict__.get("fields", {}))  # the relay says for each event on whose behalf it is
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = "".join(traceback.format_exception_only(record.exc_info[1])).strip()
            line["trace"] = "".join(traceback.format_exception(*record.exc_info, limit=-FRAMES))
        return " ".join(f"{name}={quoted(value)}" for name, value in line.items() if value is not None)


class Console(logging.StreamHandler[TextIO]):
    """
    Writes lines that come within a moment together: whoever reads them is woken once, and not for each.

    A warning, and all that is worse, is written at once. Who is killed takes the lines of the last GATHERED along.
    """

    def __init__(self) -> None:
        super().__init__()
        self._begin()
        os.register_at_fork(after_in_child=self._begin)  # what waits in the parent, the parent writes

    def _begin(self) -> None:
        self._lines: list[str] = []
        self._is_due = False

    def emit(self, record: logging.LogRecord) -> None:
        """Python holds our lock, as it does for each handler."""
        try:
            self._lines.append(self.format(record) + self.terminator)
            if record.levelno >= logging.WARNING:
                self.flush()
            elif not self._is_due:
                # Not by `threading`, which waits until a thread has begun: in eventlet's hub nobody may wait.
                _thread.start_new_thread(self._flush_soon, ())
                self._is_due = True
        except Exception:
            self.handleError(record)

    def _flush_soon(self) -> None:
        time.sleep(GATHERED)
        self._is_due = False
        self.flush()

    def flush(self) -> None:
        """Write what there is. Python does it, too, when the process ends."""
        self.acquire()
        try:
            together, self._lines = "".join(self._lines), []
            if together:
                self.stream.write(together)
                super().flush()
        finally:
            self.release()


def settings(process: str, level: str) -> dict[str, Any]:
    """What `logging.config.dictConfig` wants to hear; config.yml of a service says the same."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "rabbitmq.logs.Logfmt", "process": process}},
        "handlers": {"console": {"class": "rabbitmq.logs.Console", "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["console"]},
    }
