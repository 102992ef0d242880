"""
Wall clocks that a nemesis can set, one for each process: by libfaketime, where it is installed.

Only the wall clock jumps. The monotonic one, by which timeouts and heartbeats are counted, goes on, as it does when an
operator, or NTP, sets a machine's clock.
"""

from collections.abc import Mapping
from pathlib import Path

from local.settings import ROOT

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
PRELOADED = ROOT / "tests" / "chaos" / "preloaded"


class Clock:
    """The wall clock of one process; *file* says how far it is off."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(exist_ok=True)
        self.set(0)

    def environment(self, before: Mapping[str, str]) -> dict[str, str]:
        """What the process is to be started with instead of *before*."""
        return {
            **before,
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Its remedy for clocks of other C libraries: waits for Python's interpreter lock would end too late.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "PYTHONPATH": f"{PRELOADED}:{before['PYTHONPATH']}",
        }

    def set(self, seconds: float) -> None:
        """So far ahead of the others from now on, or behind them."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.0f}\n")
        new.replace(self._file)  # it is read at any moment
