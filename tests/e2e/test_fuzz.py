"""Schemathesis reads the OpenAPI document and tries to find an answer that is not in it, or a fault."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.settings import ROOT
from tests.e2e.api_client import Box

CONFIG = ROOT / "tests" / "fuzz" / "schemathesis.toml"
BREADTH = ("--phases", "examples,coverage,fuzzing")
#: From a concert to its holds and bookings. What only lists things leads nowhere.
DEPTH = (
    *("--phases", "stateful", "--include-path-regex", "^/v1/(concerts|holds|bookings)(/{|$)"),
    *("--exclude-operation-id", "search_concerts", "--exclude-operation-id", "list_bookings"),
)


def fuzz(box: Box, folder: Path, *arguments: str) -> int:
    """How many cases Schemathesis tried; fails with its report when one of them failed."""
    environment = {
        **os.environ,
        "API_URL": box.stack.api_url,
        "ADMIN_EMAIL": box.stack.admin_email,
        "ADMIN_PASSWORD": box.stack.admin_password,
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
    }
    program = [str(Path(sys.executable).with_name("st")), "--no-color", "--config-file", str(CONFIG)]
    done = subprocess.run(
        [*program, "run", f"{box.stack.api_url}/openapi.json", *arguments],
        env=environment, cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    [generated, passed] = re.findall(r"(\d+) (?:generated|passed)(?:,|$)", done.stdout.partition("Test cases:")[2])[:2]
    assert generated == passed
    return int(generated)


@pytest.mark.timeout(600)
def test_no_request_has_an_answer_that_is_not_documented(box: Box, tmp_path: Path) -> None:
    assert fuzz(box, tmp_path, *BREADTH, "--seed", "1") > 1000


@pytest.mark.timeout(600)
def test_no_sequence_of_requests_has_one_either(box: Box, tmp_path: Path) -> None:
    assert fuzz(box, tmp_path, *DEPTH, "--seed", "1", "--max-examples", "60") > 100


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("way", [BREADTH, DEPTH], ids=["breadth", "depth"])
def test_nor_after_many_more(box: Box, tmp_path: Path, way: tuple[str, ...]) -> None:
    """Other cases each time; a failure names its seed."""
    seconds = os.environ.get("FUZZ_SECONDS", "300")
    assert fuzz(box, tmp_path, *way, "--max-examples", "200", "--max-time", seconds) > 200
