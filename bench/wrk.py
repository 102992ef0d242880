"""Load by wrk, https://github.com/wg/wrk: as many connections as asked, each sending its next request at once."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

SCRIPT = Path(__file__).with_name("requests.lua")
THREADS = 2
#: No answer takes longer, see "Every wait is bounded" in docs/architecture.md.
PATIENCE = 6


class LoadFailed(Exception):
    """wrk could not do its work; the message is what it said."""


class Target(NamedTuple):
    path: str
    body: str = ""  #: JSON


class Answers(NamedTuple):
    """What came back."""

    seconds: float
    p50: float  #: milliseconds
    p99: float
    counted: dict[str, int]  #: by status, or the code of a problem document; `broken`: no answer at all
    cpu: float  #: seconds that wrk itself took


class Load:
    """Requests of one kind, to *targets* in turn, each with the next of the *tokens*. A run goes on from the last."""

    def __init__(self, method: str, targets: Sequence[Target], tokens: Sequence[str] = (), keys: bool = False) -> None:
        self._method = method
        self._files = tempfile.TemporaryDirectory(prefix="bench-load-")
        self._targets = self._write("targets", [f"{target.path}\t{target.body}" for target in targets])
        self._tokens = self._write("tokens", tokens) if tokens else "-"
        self._keys = keys
        self._first = 0

    def run(self, api_url: str, connections: int, seconds: float, pause: float = 0) -> Answers:
        """
        Send for *seconds* over so many *connections*, each of which waits *pause* milliseconds on average in between.

        Raises:
            LoadFailed
        """
        threads = min(THREADS, connections)
        key = f"{uuid4().hex}-" if self._keys else "-"
        script = [self._method, threads, self._first, pause, key, self._targets, self._tokens]
        command = ["wrk", "-t", threads, "-c", connections, "-d", f"{round(seconds)}s", "--timeout", f"{PATIENCE}s"]
        command += ["-s", SCRIPT, api_url, "--", *script]
        began = os.times()
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        ended = os.times()
        cpu = ended.children_user + ended.children_system - began.children_user - began.children_system
        if done.returncode != 0 or not done.stdout.strip().endswith("}"):
            raise LoadFailed(done.stdout + done.stderr)
        told = json.loads(done.stdout.strip().splitlines()[-1])
        counted = {**told["answers"], **({"broken": told["broken"]} if told["broken"] else {})}
        self._first = told["next"]
        return Answers(told["seconds"], told["p50"], told["p99"], counted, cpu)

    def _write(self, name: str, lines: Sequence[str]) -> str:
        file = Path(self._files.name) / name
        file.write_text("".join(f"{line}\n" for line in lines))
        return str(file)
