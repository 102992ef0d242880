"""What a test may call its own on the servers of the run."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from pymongo.database import Database
from redis import Redis

from rabbitmq import database, redis_server
from rabbitmq.database import Document
from tests.local_stack import LocalStack
from tests.tcp_proxy import TcpProxy, proxy


@pytest.fixture(scope="session")
def session_redis(stack: LocalStack) -> Iterator[Redis]:
    """The sessions' Redis, which belongs to the whole run."""
    with redis_server.connect(stack.session_redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="session")
def new_database(stack: LocalStack) -> Iterator[Callable[[], Database[Document]]]:
    """Gives a database that nobody else knows, with majority reads and writes; gone at the end of the run."""
    made: list[Database[Document]] = []

    def make() -> Database[Document]:
        made.append(database.connect(stack.mongo_uri, f"test_{uuid4().hex[:12]}"))
        return made[-1]

    yield make
    for one in made:
        one.client.drop_database(one.name)
        one.client.close()


@pytest.fixture(scope="session")
def mongo(new_database: Callable[[], Database[Document]]) -> Database[Document]:
    """A database that the tests of the run share: each keeps to its own ids."""
    return new_database()


@pytest.fixture(scope="session")
def redis(stack: LocalStack) -> Iterator[Redis]:
    """The inventory's Redis, which belongs to the whole run: each test keeps to its own keys."""
    with redis_server.connect(stack.redis_url) as client:
        yield client


@pytest.fixture
def cable(stack: LocalStack) -> Iterator[TcpProxy]:
    """The network between what a test names `behind_cable` and the broker."""
    with proxy(stack.amqp_uri) as between:
        yield between
