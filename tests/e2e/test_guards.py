"""
A guard is taken away in the code that runs, and the checker must see what becomes of it.

The others, which a process of a test's own can show, are in tests/integration: docs/reliability.md lists them.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from booking_svc.audit.checks import INVARIANTS
from local.settings import ROOT
from rabbitmq.times import from_wire
from tests import local_stack
from tests.chaos.faults import Fault
from tests.chaos.rigging import Rigging
from tests.chaos.run import judged, under_fire
from tests.e2e.api_client import Box, insist, starts_in
from tests.local_stack import LocalStack
from tests.polling import poll

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

#: Other text in the place of some, by file.
Change = Mapping[str, Mapping[str, str]]

#: A write is answered when the server has it in memory, and such writes are read.
FROM_MEMORY: Change = {
    "rabbitmq/database.py": {
        'WriteConcern("majority", j=True), read_concern=ReadConcern("majority")': (
            'WriteConcern(1, j=False), read_concern=ReadConcern("local")'
        )
    }
}
#: Neither MongoDB's index nor the inventory minds who has what.
ANYBODY: Change = {
    "booking_svc/bookings.py": {"unique=True": "unique=False"},
    "booking_svc/lua/place_hold.lua": {
        "left_of(code, offered.bound) < #seats + quantity": "false",
        "redis.call('BITPOS', taken_key(code), 0)": "math.random(1, bounds[code])",
    },
}
#: Sales are open until an event says otherwise.
NO_CLOCK: Change = {
    "booking_svc/bookings.py": {'{"$lt": ["$$NOW", draft["sales_close_at"]]}': "True"},
    "booking_svc/lua/inventory.lua": {
        "if now >= tonumber(terms[3]) then return { 'sales_closed' } end": "",
        "if redis.call('EXISTS', ON_SALE) == 0 then return { 'not_loaded' } end": "",
    },
}


@contextmanager
def running_with(change: Change, folder: Path) -> Iterator[LocalStack]:
    """A stack whose programs run a copy of the code that was changed so."""
    copy = folder / "code"
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    for name, texts in change.items():
        for text, other in texts.items():
            said = (copy / name).read_text()
            assert text in said, f"{name} does not say {text}"
            (copy / name).write_text(said.replace(text, other))
    stack = local_stack.start(folder / "data", ("env", "-C", str(copy), sys.executable, "-m", "local", "run"))
    try:
        yield stack
    finally:
        stack.stop()


def seen_under_fire(stack: LocalStack, *faults: str, times: int) -> set[str]:
    """What the checker finds after these *faults*."""

    def is_one(fault: Fault) -> bool:
        return fault.name in faults

    return {breach.invariant for breach in judged(*under_fire(Rigging(Box(stack), {}, {}), 1, times, is_one)).breaches}


def test_checker_sees_nothing_where_nothing_was_taken_away(tmp_path: Path) -> None:
    with running_with({}, tmp_path) as stack:
        assert seen_under_fire(stack, "kill mongod", "kill relay", times=6) == set()


def test_checker_sees_what_was_answered_from_memory_and_lost(tmp_path: Path) -> None:
    with running_with(FROM_MEMORY, tmp_path) as stack:
        assert "lost" in seen_under_fire(stack, "kill mongod", times=6)


def test_checker_sees_that_anybody_could_have_any_unit(tmp_path: Path) -> None:
    with running_with(ANYBODY, tmp_path) as stack:
        assert {"oversold", "audit"} <= seen_under_fire(stack, "kill relay", times=4)


def test_audit_sees_that_only_an_event_closed_the_sales(tmp_path: Path) -> None:
    with running_with(NO_CLOCK, tmp_path) as stack:
        box = Box(stack)
        concert, buyer = box.on_sale(box.organiser(), starts_at=starts_in(seconds=25)), box.register()
        closes = from_wire(concert["sales_close_at"])
        poll(lambda: datetime.now(UTC) > closes, seconds=40, every=0.05)
        assert insist(buyer, concert["id"]).status_code == 201
        audit = stack.audit()
        assert audit.returncode == 1
        assert f"ok      {INVARIANTS['in_time']}" not in audit.stdout
