"""What an operator may do to a concert's keys in Redis."""

from redis import Redis


def forget(redis: Redis, concert_id: str) -> None:
    """All keys of the concert are gone in one moment, as when Redis is emptied."""
    redis.eval(
        "local keys = redis.call('KEYS', ARGV[1]); if #keys > 0 then redis.call('DEL', unpack(keys)) end",
        0,
        f"{{{concert_id}}}*",
    )
