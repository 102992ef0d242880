import signal
import subprocess
import sys

import pytest

from local import processes

#: Starts a child, tells its id, and ends without it.
CHILD = """
import os, subprocess, sys
grandchild = subprocess.Popen([sys.executable, "-c", {grandchild!r}], stdout=subprocess.PIPE)
grandchild.stdout.readline()
print(grandchild.pid, flush=True)
os._exit(0)
"""
POLITE = "import time; print(flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"

#: Runs its first argument with `adopt_orphans`, then ends everything, killing after so many seconds as its second says.
PARENT = """
import os, subprocess, sys, time
from local import processes
processes.adopt_orphans()
child = subprocess.run([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
orphan = int(child.stdout)
print(processes.children(os.getpid()) == [orphan])
processes.end_children(time.monotonic() + float(sys.argv[2]), time.monotonic() + 10)
print(processes.children(os.getpid()), os.path.exists(f"/proc/{orphan}"))
"""


def python(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(("orphan", "kill_after"), [(POLITE, 10), (STUBBORN, 0.1)])
def test_orphans_are_found_and_ended(orphan: str, kill_after: float) -> None:
    said, _ = python(PARENT, CHILD.format(grandchild=orphan), str(kill_after)).communicate(timeout=20)
    assert said.splitlines() == ["True", "[] False"]


def test_a_child_can_end_with_its_parent_however_that_ends() -> None:
    child = "import signal, time; from local import processes; processes.end_with_parent(signal.SIGTERM); "
    child += "print('ready', flush=True); time.sleep(60)"
    parent = python(
        "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])",
        child,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    # The child holds the other end of the pipe, which closes when it ends.
    assert parent.stdout.read() == ""
    parent.wait()


def test_whether_a_process_catches_a_signal_can_be_seen() -> None:
    deaf = python("print(flush=True); input()")
    listening = python("import signal; signal.signal(signal.SIGUSR1, print); print(flush=True); input()")
    for process in (deaf, listening):
        assert process.stdout is not None
        process.stdout.readline()
    assert processes.catches(listening.pid, signal.SIGUSR1)
    assert not processes.catches(listening.pid, signal.SIGUSR2)
    assert not processes.catches(deaf.pid, signal.SIGUSR1)
    for process in (deaf, listening):
        process.kill()
        process.communicate()
    assert not processes.catches(listening.pid, signal.SIGUSR1)
