"""
What a process with libfaketime in it begins with: sleeping by `select`.

Python sleeps by `clock_nanosleep` up to a moment of the monotonic clock. libfaketime 0.9.10, Debian 12's, fails that
call once it is told to leave the monotonic clock alone (wolfcw/libfaketime issue 426).
"""

import select
import sys
import time
import types


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
# eventlet imports the module anew to get at what it will have replaced; it is to find ours.
original = types.ModuleType("time")
original.__dict__.update(time.__dict__)
sys.modules["__original_module_time"] = original
