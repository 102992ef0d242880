"""GET /health/ready names what the platform needs, and is red when it cannot serve."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

from tests.e2e.api_client import Box
from tests.e2e.test_faults import frozen, processes
from tests.polling import poll

EVERYTHING = {
    *("rabbitmq", "sessions", "mongodb", "inventory"),
    *("auth_svc", "concert_svc", "booking_svc", "mailer_svc"),
}


def checks(box: Box, status: int) -> dict[str, str]:
    """What /health/ready says, once it answers with *status*."""
    answer = poll(lambda: (got := box.http.get("/health/ready")).status_code == status and got, seconds=20, every=0.2)
    return dict(answer.json()["checks"])


@pytest.fixture(autouse=True)
def afterwards_ready(box: Box) -> Iterator[None]:
    yield
    checks(box, 200)


def test_everything_that_is_needed_is_named(box: Box) -> None:
    assert checks(box, 200) == dict.fromkeys(EVERYTHING, "ok")


@pytest.mark.parametrize(
    ("server", "name"), [("redis", "inventory"), ("redis-sessions", "sessions"), ("mongod", "mongodb")]
)
def test_silent_server_is_named(box: Box, server: str, name: str) -> None:
    with frozen(processes(box)[server]):
        began = time.monotonic()
        answer = box.http.get("/health/ready")
        assert time.monotonic() - began < 3
        assert answer.status_code == 503
        red = {check for check, state in answer.json()["checks"].items() if state != "ok"}
        assert red == {name}


def test_database_without_a_primary_cannot_serve(box: Box) -> None:
    with MongoClient[dict[str, Any]](box.stack.mongo_uri, directConnection=True) as mongo:
        try:
            mongo.admin.command({"replSetStepDown": 8, "secondaryCatchUpPeriodSecs": 0, "force": True})
        except AutoReconnect:  # it closes connections as it steps down
            pass
    assert checks(box, 503)["mongodb"] == "no primary"


def test_broker_that_takes_nothing_cannot_serve(box: Box) -> None:
    with alarmed(box):
        assert checks(box, 503)["rabbitmq"] == "blocked"


@contextmanager
def alarmed(box: Box) -> Iterator[None]:
    """The broker believes that it has no memory left."""
    environment = {**os.environ, **psutil.Process(processes(box)["rabbitmq"]).environ()}
    scripts = environment.get("RABBITMQ_SCRIPTS_DIR", "/usr/lib/rabbitmq/bin")
    program = str(Path(scripts) / "rabbitmqctl")
    assert shutil.which(program)

    def set_limit(share: str) -> None:
        command = [program, "set_vm_memory_high_watermark", share]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=30)

    set_limit("0.000001")
    try:
        yield
    finally:
        set_limit("0.6")
