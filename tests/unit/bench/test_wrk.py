"""Load by wrk, on a tiny server of the test's own."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bench.wrk import Load, LoadFailed, Target


class Answers(BaseHTTPRequestHandler):
    """Takes the first ten bookings, and refuses all others."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append((body, self.headers["Idempotency-Key"], self.headers["Authorization"]))
        taken = len(self.seen) <= 10
        answer = b"{}" if taken else json.dumps({"code": "sold_out"}).encode()
        self.send_response(201 if taken else 409)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Nobody wants to read it."""


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """wrk hangs up in the middle of a request when its time is over."""


@pytest.fixture
def server() -> Iterator[Server]:
    Answers.seen = []
    with Server(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_each_request_is_sent_once_and_counted_by_its_answer(server: Server) -> None:
    load = Load("POST", [Target("/", str(n)) for n in range(100_000)], tokens=["ada", "ben"], keys=True)
    runs = [load.run(f"http://127.0.0.1:{server.server_port}", connections=4, seconds=1) for _ in range(2)]
    bodies, keys, tokens = zip(*Answers.seen, strict=True)
    assert len(set(bodies)) == len(set(keys)) == len(Answers.seen)
    assert set(tokens) <= {"Bearer ada", "Bearer ben"}
    assert sum(run.counted.get("201", 0) for run in runs) <= 10
    assert sum(run.counted.get("sold_out", 0) for run in runs) <= max(0, len(Answers.seen) - 10)
    assert all(run.seconds > 0 and run.p50 <= run.p99 for run in runs)


def test_rests_between_requests_make_them_rare(server: Server) -> None:
    Load("POST", [Target("/", "{}")]).run(f"http://127.0.0.1:{server.server_port}", 1, seconds=1, pause=10_000)
    assert len(Answers.seen) <= 5


def test_what_wrk_says_of_its_failure_is_told() -> None:
    with pytest.raises(LoadFailed, match="invalid URL"):
        Load("GET", [Target("/")]).run("nowhere", connections=1, seconds=1)
