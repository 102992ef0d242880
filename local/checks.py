"""One question for each server: does it answer, with the credentials that the programs will use?"""

from __future__ import annotations

import logging
import smtplib
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pika
import pika.exceptions
import redis
from pymongo import MongoClient
from pymongo.errors import PyMongoError

SECONDS = 2.0

# A server that isn't there yet is what this module expects; pika would report each try at length.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class NoAnswer(Exception):
    """A server does not answer; the message is what it, or the network, said."""


def rabbitmq(uri: str) -> None:
    """
    Log in to RabbitMQ.

    Raises:
        NoAnswer: it is not there, or does not let us in.
    """
    _listens(uri, 5671 if uri.startswith("amqps") else 5672)
    parameters = pika.URLParameters(uri)
    parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = SECONDS
    parameters.connection_attempts = 1
    try:
        pika.BlockingConnection(parameters).close()
    except (pika.exceptions.AMQPError, OSError) as error:
        raise NoAnswer(repr(error)) from error


def redis_server(url: str) -> None:
    """
    Log in to Redis, its data loaded.

    Raises:
        NoAnswer: it is not there, still loading, or does not let us in.
    """
    client = redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=None)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        raise NoAnswer(str(error)) from error
    finally:
        client.close()


def mongodb(uri: str) -> None:
    """
    Find the primary of a MongoDB replica set.

    Raises:
        NoAnswer: there is none, or it does not let us in.
    """
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=int(SECONDS * 1000))
        with client:
            client.admin.command("ping")
    except PyMongoError as error:
        raise NoAnswer(in_short(error)) from error


def in_short(error: PyMongoError) -> str:
    """What PyMongo says of *error*, without its timeouts and its picture of the whole topology."""
    return str(error).partition(" (configured")[0].partition(", Timeout:")[0]


def smtp(url: str) -> None:
    """
    Be greeted by a mail server.

    Raises:
        NoAnswer: it is not there.
    """
    _listens(url, 465 if url.startswith("smtps") else 25)
    if url.startswith("smtps"):
        return
    parts = urlsplit(url)
    try:
        with smtplib.SMTP(parts.hostname or "", parts.port or 25, timeout=SECONDS) as client:
            client.noop()
    except (smtplib.SMTPException, OSError) as error:
        raise NoAnswer(str(error)) from error


def gateway(api_url: str) -> None:
    """
    Hear from the gateway that the platform is ready.

    Raises:
        NoAnswer: it is not there, or says that something is missing.
    """
    # Without the proxies that the caller's environment may name: this is about this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"{api_url}/health/ready", timeout=3).close()
    except urllib.error.HTTPError as error:
        with error:
            raise NoAnswer(f"{error.code} {error.read(2000).decode(errors='replace').strip()}") from error
    except OSError as error:
        raise NoAnswer(str(error)) from error


#: The check of each server, by the variable that holds its address.
CHECKS: Mapping[str, Callable[[str], None]] = {
    "AMQP_URI": rabbitmq,
    "REDIS_URL": redis_server,
    "SESSION_REDIS_URL": redis_server,
    "MONGO_URI": mongodb,
    "SMTP_URL": smtp,
}


def _listens(url: str, default_port: int) -> None:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or default_port), timeout=SECONDS).close()
    except OSError as error:
        raise NoAnswer(str(error)) from error
