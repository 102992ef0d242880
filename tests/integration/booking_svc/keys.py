"""What an operator may do to a concert's keys in Redis."""

from redis import Redis


def forget(redis: Redis, concert_id: str) -> None:
    """All keys of the concert are gone in one moment, as when Redis is emptied."""
    redis.eval(
        "local keys = redis.call('KEYS', ARGV[1]); if #keys > 0 then redis.call('DEL', unpack(keys)) end",
        0,
        f"{{{concert_id}}}*",
    )


Copy = dict[bytes, tuple[int, bytes]]


def copy(redis: Redis, concert_id: str) -> Copy:
    """The concert's keys as they are now, with their lives."""
    keys = list(redis.scan_iter(match=f"{{{concert_id}}}*", count=1000))
    return {key: (max(0, redis.pttl(key)), redis.dump(key)) for key in keys}  # type: ignore[type-var]


def roll_back(redis: Redis, concert_id: str, kept: Copy) -> None:
    """The concert is as it was when it was copied, as when an old copy of Redis takes over."""
    with redis.pipeline() as pipe:
        pipe.eval(
            "local keys = redis.call('KEYS', ARGV[1]); if #keys > 0 then redis.call('DEL', unpack(keys)) end",
            0,
            f"{{{concert_id}}}*",
        )
        for key, (life, value) in kept.items():
            pipe.restore(key, life, value)
        pipe.execute()
