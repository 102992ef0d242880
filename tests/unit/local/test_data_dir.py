from pathlib import Path

import pytest

from local import data_dir
from local.settings import StackFailed


def test_a_new_data_dir_is_for_its_owner_only(tmp_path: Path) -> None:
    with data_dir.held(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_data_dir_is_held_by_one_run_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(StackFailed, match=f"A stack already runs on {tmp_path}")
    with data_dir.held(tmp_path), refused, data_dir.held(tmp_path):
        pytest.fail("held twice")
    with data_dir.held(tmp_path):
        pass


def test_a_data_dir_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackFailed, match="DATA_DIR cannot be used"), data_dir.held(tmp_path / "file" / "data"):
        pytest.fail("held")
