"""newman runs the Postman collection against the running platform; its summary is printed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.settings import ROOT
from postman.__main__ import COLLECTION, ENVIRONMENT
from tests.e2e.api_client import Box


@pytest.mark.timeout(300)
def test_collection_runs_from_the_first_story_to_the_last(box: Box) -> None:
    tools = Path(sys.executable).parent  # node, too
    values = {
        "base_url": box.stack.api_url,
        "admin_email": box.stack.admin_email,
        "admin_password": box.stack.admin_password,
    }
    given = [word for name, value in values.items() for word in ("--env-var", f"{name}={value}")]
    newman = ROOT / "postman" / "node_modules" / "newman" / "bin" / "newman.js"
    done = subprocess.run(
        [tools / "node", newman, "run", COLLECTION, "-e", ENVIRONMENT, *given, "--color", "off", "--disable-unicode"],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}, capture_output=True, text=True,
    )  # fmt: skip
    print(done.stdout[done.stdout.find("-----") :])
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
