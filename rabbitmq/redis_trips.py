"""One round trip to Redis for all who want something of it at the same time."""

from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from rabbitmq.group_commit import GroupCommit

#: As redis-py's `execute_command` takes it: its name, and its arguments.
Command = tuple[Any, ...]


class RedisTrips:
    """Takes the commands of any number of threads to *redis*. They are no transaction: others come between them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._group = GroupCommit(self._send)

    def ask(self, *commands: Command) -> list[Any]:
        """
        The answer to each of *commands*, which Redis carries out in this order.

        Raises:
            RedisError: it did not answer, and nobody knows what was done; or what it says of one of the commands.
        """
        return self._group.ask(commands)

    def _send(self, asked: Sequence[Sequence[Command]]) -> list[list[Any] | Exception]:
        with self._redis.pipeline(transaction=False) as pipe:
            for commands in asked:
                for command in commands:
                    pipe.execute_command(*command)
            came = iter(pipe.execute(raise_on_error=False))
        answers = [[next(came) for _ in commands] for commands in asked]
        return [next((one for one in answer if isinstance(one, RedisError)), answer) for answer in answers]
