"""
Become a supervised program: `python -m local.launch FILE [NUMBER]`, FILE being what `write` wrote.

NUMBER says which of several copies it is; the first is 1.

Stands between the supervisor and the program so that the program gets exactly its own environment
(secrets appear in no command line and in no other program's environment), and so that it ends
when the supervisor is killed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

from local import private_files
from local.processes import end_with_parent
from local.programs import Program

OPEN_FILES = 65536


def write(file: Path, program: Program) -> None:
    """Keep in *file* what `python -m local.launch` needs to become *program*."""
    copies = [{**program.environment, **own} for own in program.each or [{}] * program.copies]
    private_files.write(file, json.dumps({"command": program.command, "copies": copies}, indent=2))


def launch(file: Path, number: int) -> None:
    """Become copy *number* of the program in *file*; does not return."""
    program = json.loads(file.read_text())
    end_with_parent(signal.SIGTERM)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    os.execve(program["command"][0], program["command"], program["copies"][number - 1])


if __name__ == "__main__":
    launch(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
