"""The README's tour does what it says, pasted as a whole, twice."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[2] / "README.md"


def tour() -> str:
    """Every bash block between the tour's markers."""
    [part] = re.findall(r"<!-- tour:begin -->(.*?)<!-- tour:end -->", README.read_text(), re.DOTALL)
    blocks = re.findall(r"^```bash\n(.*?)^```", part, re.DOTALL | re.MULTILINE)
    assert blocks
    return "\n".join(blocks)


@pytest.mark.parametrize("time", ["first", "second"])
def test_the_tour_can_be_pasted(stack: Any, time: str, tmp_path: Path) -> None:
    environment = {**os.environ, "API": stack.api_url, "DATA_DIR": str(stack.data_dir)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=tour(), env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for expected in ("confirmed", "Idempotency-Replayed: true", "sold_out", "cancelled", "session_ended", "closed"):
        assert expected in done.stdout, f"{expected!r} is not in\n{done.stdout}"
