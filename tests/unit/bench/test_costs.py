"""Whose CPU and memory are whose, by /proc."""

import os
import subprocess
import sys
import time

from bench import costs

BUSY = "import os; os.fork(); [i for i in iter(lambda: sum(range(1000)), None)]"


def test_what_a_process_has_started_counts_as_its_own() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as busy:
        try:
            deadline = time.monotonic() + 30
            while costs.read({"busy-1": busy.pid}).cpu.get("busy", 0.0) < 0.2:
                assert time.monotonic() < deadline
            before, alone = costs.read({"busy-1": busy.pid}), costs._cpu_seconds(busy.pid)
            assert before.cpu["busy"] > alone / 2
            found = costs.read({"busy-1": busy.pid}, memory=True)
            assert found.memory["busy"] > 2**20
            assert found.since(before)["busy"] >= 0
        finally:
            os.killpg(busy.pid, 9)


def test_who_started_the_processes_is_counted_apart() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeping:
        found = costs.read({"sleeper": sleeping.pid})
        sleeping.kill()
    assert set(found.cpu) == {"sleeper", costs.SUPERVISOR}
    assert found.cpu[costs.SUPERVISOR] > found.cpu["sleeper"]
