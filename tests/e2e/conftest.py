import pytest

from tests.e2e.api_client import Box
from tests.local_stack import LocalStack


@pytest.fixture(scope="session")
def box(stack: LocalStack) -> Box:
    """The platform of the run, as its clients see it."""
    return Box(stack)
