"""concert_svc itself, called as the gateway calls it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from concert_svc.contract import Concert, ConcertNotFound
from gateway.errors import CONTRACT_ERRORS
from gateway.rpc import RpcClient
from tests.local_stack import LocalStack
from tests.unit.concert_svc.concerts import NEW


@pytest.fixture
def client(stack: LocalStack) -> Iterator[RpcClient]:
    client = RpcClient(stack.amqp_uri, CONTRACT_ERRORS)
    yield client
    client.close()


@pytest.fixture
def draft(client: RpcClient, organiser: str) -> Concert:
    """A draft that starts in another decade, behind all that other tests list."""
    concert = {**NEW, "starts_at": "2041-01-20T19:00:00Z"}
    return client.call("concert_svc", "create_concert", {"organiser_id": organiser, "concert": concert}, {})


def publish(client: RpcClient, draft: Concert, organiser: str) -> Concert:
    arguments = {"organiser_id": organiser, "concert_id": draft["id"]}
    return client.call("concert_svc", "publish_concert", arguments, {})


def test_publishing_again_changes_nothing(client: RpcClient, draft: Concert, organiser: str) -> None:
    assert publish(client, draft, organiser) == publish(client, draft, organiser)


def test_everyone_who_publishes_at_the_same_moment_is_told_that_it_is_published(
    client: RpcClient, draft: Concert, organiser: str
) -> None:
    """A client whose first request was answered too late sends it again while that is still under way."""
    with ThreadPoolExecutor(8) as threads:
        published = list(threads.map(lambda _: publish(client, draft, organiser), range(8)))
    assert {concert["status"] for concert in published} == {"published"}
    assert len({concert["published_at"] for concert in published}) == 1


def test_nobody_publishes_the_draft_of_another(client: RpcClient, draft: Concert) -> None:
    with pytest.raises(ConcertNotFound):
        publish(client, draft, "somebody else")
