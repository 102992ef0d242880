"""Which errors mean that a server does not answer."""

import amqp.exceptions
import kombu.exceptions
import nameko.exceptions
import pymongo.errors
import pytest
import redis.exceptions

from rabbitmq.errors import Unavailable
from rabbitmq.faults import FAULTS, is_fault


@pytest.mark.parametrize(
    "error",
    [
        pymongo.errors.ServerSelectionTimeoutError("no primary"),
        pymongo.errors.AutoReconnect("gone"),
        pymongo.errors.NetworkTimeout("slow"),
        pymongo.errors.NotPrimaryError("stepped down"),
        pymongo.errors.WriteConcernError("no majority"),
        redis.exceptions.ConnectionError("refused"),
        redis.exceptions.TimeoutError("slow"),
        redis.exceptions.BusyLoadingError("loading"),
        redis.exceptions.OutOfMemoryError("noeviction"),
        kombu.exceptions.OperationalError("refused"),
        amqp.exceptions.ConnectionForced("shutdown"),
        nameko.exceptions.UnknownService("booking_svc"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_silent_server_is_a_fault(error: Exception) -> None:
    assert is_fault(error)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("venue"),
        TypeError("missing argument"),
        nameko.exceptions.RemoteError("KeyError", "venue"),
        Unavailable("booking_svc"),  # is already what a fault becomes
    ],
    ids=lambda error: type(error).__name__,
)
def test_mistake_of_ours_is_no_fault(error: Exception) -> None:
    assert not is_fault(error)


def test_subclass_of_a_fault_is_one() -> None:
    class Lost(pymongo.errors.ConnectionFailure):
        pass

    assert is_fault(Lost())


def test_every_name_in_the_list_is_an_exception_that_exists() -> None:
    for name in FAULTS:
        module, _, cls = name.rpartition(".")
        assert issubclass(getattr(__import__(module, fromlist=[cls]), cls), Exception)
