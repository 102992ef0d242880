"""PyMongo no longer says that it supports eventlet, which Nameko's services run under; this says that it works."""

import json
import subprocess
import sys
from collections.abc import Callable

from pymongo.database import Database

from local.settings import ROOT
from rabbitmq.database import Document
from tests.integration.booking_svc.green_bookings import BUYERS, UNITS
from tests.local_stack import LocalStack


def test_green_threads_confirm_bookings_side_by_side(
    stack: LocalStack, new_database: Callable[[], Database[Document]]
) -> None:
    happened = confirm_in_green_threads(stack, new_database().name, "patched")
    assert (happened["confirmed"], happened["taken"], happened["sold"]) == (UNITS, BUYERS - UNITS, UNITS)
    assert happened["most_waiting"] > BUYERS / 2
    assert happened["steps_of_others"] > 0


def test_green_threads_would_stand_in_line_without_the_patch(
    stack: LocalStack, new_database: Callable[[], Database[Document]]
) -> None:
    happened = confirm_in_green_threads(stack, new_database().name, "unpatched")
    assert happened["sold"] == UNITS
    assert happened["most_waiting"] == 1
    assert happened["steps_of_others"] == 0


def confirm_in_green_threads(stack: LocalStack, database: str, patched: str) -> dict[str, int]:
    program = [sys.executable, "-W", "ignore", "-m", "tests.integration.booking_svc.green_bookings"]
    done = subprocess.run(
        [*program, stack.mongo_uri, database, patched], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    happened: dict[str, int] = json.loads(done.stdout)
    return happened
