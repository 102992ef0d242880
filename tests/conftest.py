"""The one running platform that integration and e2e tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import local_stack
from tests.local_stack import LocalStack

# How long an example takes says more of the machine than of the code.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """
    The whole platform on real servers of its own, ready; rate limits are off.

    Whatever the tests did to it, its audit is clean at the end.
    Its data are deleted afterwards, unless a test failed.
    """
    data_dir = tmp_path_factory.mktemp("stack") / "data"
    running = local_stack.start(data_dir)
    yield running
    try:
        running.must_be_sound()
    finally:
        running.stop()
    if not request.session.testsfailed:
        shutil.rmtree(data_dir)
