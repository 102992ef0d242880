"""Which errors mean that a server does not answer. By name, so that a service needs only its own drivers."""

#: The roots of those errors.
FAULTS = {
    "pymongo.errors.PyMongoError",
    "redis.exceptions.RedisError",
    "kombu.exceptions.OperationalError",
    "amqp.exceptions.AMQPError",
    "nameko.exceptions.UnknownService",
}


def is_fault(error: BaseException) -> bool:
    """Whether *error* tells of a server that does not answer, rather than of a mistake of ours."""
    return any(f"{cls.__module__}.{cls.__qualname__}" in FAULTS for cls in type(error).__mro__)
