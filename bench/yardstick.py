"""
What a machine is worth: gunicorn, and a Flask app that answers with JSON and does nothing else.

No route of ours can be faster. Figures of another machine are compared as multiples of this.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import httpx
from flask import Flask, Response, jsonify

from bench import costs
from bench.stack import STOP_SECONDS, free_port, wait_for
from bench.wrk import Load, Target

THREADS, CONNECTIONS, WARM_UP, SECONDS = 16, 64, 1, 3

app = Flask(__name__)


@app.get("/")
def answer() -> Response:
    return jsonify(status="ok")


class Yardstick(NamedTuple):
    rate: float  #: answers a second, of one process
    cpu: float  #: milliseconds that each takes

    def __str__(self) -> str:
        return f"{self.rate:.0f} /s, {self.cpu:.2f} ms of CPU each"


def measure() -> Yardstick:
    """
    Raises:
        NoStack, LoadFailed
    """
    port = free_port()
    command = ["gunicorn", "--threads", THREADS, "--bind", f"127.0.0.1:{port}", "--log-level", "error"]
    url, load = f"http://127.0.0.1:{port}", Load("GET", [Target("/")])
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        output = Path(folder) / "output"
        with output.open("wb") as opened:
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, command), f"{__name__}:app"], stdout=opened, stderr=opened
            )
        try:
            wait_for(lambda: _answers(url), process, output)
            load.run(url, CONNECTIONS, WARM_UP)
            before = costs.read({"yardstick": process.pid})
            answers = load.run(url, CONNECTIONS, SECONDS)
            spent = costs.read({"yardstick": process.pid}).since(before)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
    number = sum(answers.counted.values())
    return Yardstick(number / answers.seconds, costs.for_each(spent, number)["yardstick"])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
