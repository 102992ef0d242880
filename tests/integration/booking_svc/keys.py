"""What an operator, or an accident, may do to a concert's keys in Redis."""

from redis import Redis

from booking_svc.scripts import concert_key

FORGET = "local keys = redis.call('KEYS', ARGV[1]); if #keys > 0 then redis.call('DEL', unpack(keys)) end"
#: The keys of a concert, with their lives in milliseconds (0: for ever) and values.
Copy = dict[bytes, tuple[int, bytes]]


def forget(redis: Redis, concert_id: str) -> None:
    """All keys of the concert are gone in one moment, as when Redis is emptied."""
    redis.eval(FORGET, 0, f"{concert_key(concert_id)}*")


def copy(redis: Redis, concert_id: str) -> Copy:
    """The concert's keys as they are in one moment: in no other form does Redis come back."""
    keys = list(redis.scan_iter(match=f"{concert_key(concert_id)}*", count=1000))
    with redis.pipeline(transaction=True) as pipe:
        for key in keys:
            pipe.pttl(key).dump(key)
        answers = pipe.execute()
    found = zip(keys, answers[::2], answers[1::2], strict=True)
    return {key: (max(0, life), value) for key, life, value in found if value is not None}


def roll_back(redis: Redis, concert_id: str, kept: Copy) -> None:
    """The concert is as it was when it was copied, as when an old copy of Redis takes over."""
    with redis.pipeline() as pipe:
        pipe.eval(FORGET, 0, f"{concert_key(concert_id)}*")
        for key, (life, value) in kept.items():
            pipe.restore(key, life, value)
        pipe.execute()
