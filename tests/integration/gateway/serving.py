"""A gateway in processes of its own, on the run's servers."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from local.programs import executable
from local.settings import ROOT
from tests.local_stack import LocalStack, free_port
from tests.polling import poll

HOST = "127.0.0.1"
OURS = "gateway.worker.Worker"


@contextmanager
def gateway(
    stack: LocalStack, worker: str = OURS, amqp_uri: str | None = None, processes: int = 1, **settings: str
) -> Iterator[int]:
    """The port of a gateway with so many *processes* of four threads of this kind."""
    port = free_port()
    environment = {
        **os.environ,
        "AMQP_URI": amqp_uri or stack.amqp_uri,
        "SESSION_REDIS_URL": stack.session_redis_url,
        "JWT_SECRET_KEY": "0123456789abcdef" * 4,
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "GATEWAY_WORKERS": str(processes),
        "GATEWAY_THREADS": "4",
        "RATELIMIT_ENABLED": "false",
        "LOG_LEVEL": "critical",
        **settings,
    }
    command = [executable("gunicorn"), "-c", "gateway/gunicorn.conf.py", "-k", worker, "gateway.app:create_app()"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sys.stderr)
    try:
        poll(lambda: is_there(port), seconds=60, every=0.1)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def is_there(port: int, seconds: float = 2.0) -> bool:
    """Whether it answers within so many *seconds*."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health/live", timeout=seconds) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
