"""RabbitMQ's own command line on the broker of the run."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.local_stack import LocalStack

#: Debian's own on the PATH switches to the user rabbitmq; the one below it does not.
PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmqctl"


def rabbitmqctl(stack: LocalStack, *arguments: str) -> str:
    """What it prints; fails when it fails."""
    ports = json.loads((stack.data_dir / "ports.json").read_text())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(stack.data_dir / "rabbitmq"),
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "RABBITMQ_NODENAME": "tickets@localhost",
    }
    ran = subprocess.run([PROGRAM, "-q", *arguments], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@contextmanager
def memory_alarm(stack: LocalStack) -> Iterator[None]:
    """The broker takes no messages for the time of the block: it believes that its memory is full."""
    rabbitmqctl(stack, "set_vm_memory_high_watermark", "0.000001")
    try:
        yield
    finally:
        rabbitmqctl(stack, "set_vm_memory_high_watermark", "0.4")
