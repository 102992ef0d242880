"""Commands of many threads that share round trips, at a real Redis."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from redis.exceptions import ConnectionError, ResponseError

from rabbitmq import redis_server
from rabbitmq.redis_trips import RedisTrips
from tests.local_stack import free_port

THREADS, ROUNDS = 16, 50


@pytest.fixture
def key(session_redis: Redis) -> Iterator[str]:
    """What a key of this test begins with."""
    name = f"trips:{uuid.uuid4().hex}"
    yield name
    if used := list(session_redis.scan_iter(f"{name}*", count=1000)):
        session_redis.delete(*used)


def test_each_thread_gets_the_answers_to_its_own_commands(session_redis: Redis, key: str) -> None:
    trips, counted = RedisTrips(session_redis), f"{key}:all"

    def ask(thread: int) -> list[int]:
        numbers = []
        for turn in range(ROUNDS):
            own = f"{key}:{thread}"
            number, before, now = trips.ask(("INCRBY", counted, 1), ("GETSET", own, turn), ("GET", own))
            assert (before, now) == (None if turn == 0 else str(turn - 1), str(turn))
            numbers.append(number)
        return numbers

    with ThreadPoolExecutor(THREADS) as pool:
        numbers = [number for asked in pool.map(ask, range(THREADS)) for number in asked]
    assert sorted(numbers) == list(range(1, THREADS * ROUNDS + 1))


def test_command_that_redis_refuses_is_its_senders_alone(session_redis: Redis, key: str) -> None:
    trips, start = RedisTrips(session_redis), threading.Barrier(THREADS)
    session_redis.set(f"{key}:text", "no number")

    def ask(thread: int) -> int:
        refused = 0
        for _ in range(ROUNDS):
            start.wait()
            if thread % 4:
                assert trips.ask(("ECHO", thread)) == [str(thread)]
                continue
            with pytest.raises(ResponseError):
                trips.ask(("ECHO", thread), ("INCRBY", f"{key}:text", 1))
            refused += 1
        return refused

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(ask, range(THREADS))) == THREADS // 4 * ROUNDS


def test_redis_that_is_away_is_told_to_everybody() -> None:
    trips = RedisTrips(redis_server.connect(f"redis://127.0.0.1:{free_port()}"))
    with ThreadPoolExecutor(THREADS) as pool:
        asked = [pool.submit(trips.ask, ("PING",)) for _ in range(THREADS)]
        assert all(isinstance(one.exception(10), ConnectionError) for one in asked)
