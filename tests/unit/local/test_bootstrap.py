"""local/bootstrap on machines that lack something; what it installs is seen on real ones, by `make test` itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.settings import ROOT

#: The commands of any Debian that it uses; the machine of these tests has no others.
EVERYWHERE = (
    *("sh", "cat", "cksum", "cp", "date", "dirname", "flock", "grep", "head", "id", "ldconfig", "mktemp", "rm"),
    *("sed", "tail", "uname"),
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone on a bare machine: nothing installed, no apt-get."""
    shutil.copytree(ROOT / "local", tmp_path / "clone" / "local", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "requirements", tmp_path / "clone" / "requirements")
    (tmp_path / "bin").mkdir()
    for name in EVERYWHERE:
        found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
        assert found, name
        (tmp_path / "bin" / name).symlink_to(found)
    return tmp_path / "clone"


def bootstrap(clone: Path, requirements: str = "local", **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PATH": str(clone.parent / "bin"), "TMPDIR": str(clone.parent), "PYTHON": sys.executable, **environment}
    return subprocess.run(["local/bootstrap", requirements], cwd=clone, env=given, capture_output=True, text=True)


def python(clone: Path, script: str) -> str:
    fake = clone.parent / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    return str(fake)


def test_what_is_missing_is_named_where_it_cannot_be_installed(clone: Path) -> None:
    told = bootstrap(clone)
    assert told.returncode == 1
    assert "redis-server" in told.stderr
    assert "docker compose up" in told.stderr
    assert not (clone / ".venv").exists()


def test_what_strikes_needs_what_tests_need(clone: Path) -> None:
    told = bootstrap(clone, "chaos")
    assert told.returncode == 1
    assert "redis-server" in told.stderr
    assert "chromium" not in told.stderr


def test_servers_that_are_given_are_not_missing(clone: Path) -> None:
    given = dict.fromkeys(("AMQP_URI", "REDIS_URL", "SESSION_REDIS_URL", "MONGO_URI"), "given")
    # Gets as far as making the virtual environment, with a Python that knows nothing else.
    told = bootstrap(
        clone, PYTHON=python(clone, 'case "$*" in *venv\\ .venv*) echo "no space"; exit 1 ;; esac'), **given
    )
    assert told.returncode == 1
    assert "The virtual environment could not be made" in told.stderr
    assert "no space" in told.stdout
    assert not (clone / ".venv").exists()


def test_an_old_python_is_refused(clone: Path) -> None:
    told = bootstrap(clone, PYTHON=python(clone, '[ "$1" = --version ] && echo Python 3.9.2 && exit; exit 1'))
    assert told.returncode == 1
    assert "Python 3.9.2 is too old: Python 3.11 or newer is needed" in told.stderr


def test_unknown_requirements_are_refused(clone: Path) -> None:
    assert "There is no requirements/nothing.txt" in bootstrap(clone, "nothing").stderr


def test_a_complete_environment_takes_no_time() -> None:
    """In the repository itself, where `make test` has just made it complete."""
    told = subprocess.run([ROOT / "local" / "bootstrap", "lint"], capture_output=True, text=True, timeout=10)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
