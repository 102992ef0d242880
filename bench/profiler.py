"""Where a process spends its time: a flame graph by py-spy, https://github.com/benfred/py-spy."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Samples a second.
RATE = 200


@contextmanager
def profiled(pid: int, file: Path) -> Iterator[None]:
    """Sample the process, and what it has started, while the block runs; the SVG *file* opens in any browser."""
    command = [Path(sys.prefix) / "bin" / "py-spy", "record", "--subprocesses", "--rate", RATE, "--pid", pid]
    with subprocess.Popen(
        [str(word) for word in (*command, "--output", file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as spy:
        try:
            yield
        finally:
            spy.send_signal(signal.SIGINT)  # it writes then
