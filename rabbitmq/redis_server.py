"""The kind of Redis client that services and the gateway have: it gives up soon, and never repeats by itself."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry


def connect(url: str, decode_responses: bool = False, patience: float = 0.5) -> Redis:
    """
    A client that never repeats a command by itself and gives up within *patience* seconds.

    redis-py repeats up to ten times by default; a script that ran twice would hold twice.
    """
    return Redis.from_url(
        url,
        decode_responses=decode_responses,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


def state(redis: Redis) -> str:
    """`ok`, or `does not answer`."""
    try:
        redis.ping()
    except RedisError:
        return "does not answer"
    return "ok"
