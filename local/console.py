"""What a person at the terminal is told."""

from __future__ import annotations

import sys


def say(text: str = "") -> None:
    """Print a line at once. That nobody may be reading any more is no reason to stop."""
    try:
        print(text, flush=True)
    except OSError:
        pass


def done(what: str, seconds: float) -> None:
    """Tell that *what* is ready, and after how long."""
    say(f"  ✓ {what:<17} {seconds:5.1f} s")


def accept_any_text() -> None:
    """Print what the terminal's encoding lacks as a question mark instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
