"""Clients that are slow, or too many, hold up nobody: with few threads, and without a proxy in front."""

import itertools
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from email.message import Message
from http.client import HTTPConnection
from statistics import median

import psutil
import pytest

from gateway.worker import BUSY
from tests.e2e.open_loop import send
from tests.integration.gateway.serving import HOST, gateway, is_there
from tests.integration.gateway.slow_clients import MANNERS, Manner, slow_clients
from tests.local_stack import LocalStack
from tests.polling import poll

GUNICORNS = "gthread"
#: With gunicorn's own workers a few are enough to occupy everything.
MANY, FEW = 200, 20
#: Connections opened one right after the other.
TOGETHER = 64
#: Nobody listens there: whoever needs the broker keeps a thread for a second.
NOWHERE = "amqp://127.0.0.1:1/"


@pytest.fixture(scope="module")
def ours(stack: LocalStack) -> Iterator[int]:
    with gateway(stack) as port:
        yield port


@pytest.mark.parametrize("manner", MANNERS.values(), ids=MANNERS)
def test_two_hundred_slow_clients_hold_up_nobody(ours: int, manner: Manner) -> None:
    with slow_clients(HOST, ours, manner, MANY):
        for _ in range(3):
            poll(lambda: is_there(ours, seconds=10), seconds=20)


@pytest.mark.parametrize(
    "manner",
    [
        pytest.param(manner, id=name, marks=[] if "headers" in name or "hang up" in name else pytest.mark.long)
        for name, manner in MANNERS.items()
    ],
)
def test_gunicorns_own_worker_would_be_held_up(stack: LocalStack, manner: Manner) -> None:
    """The negative control: the same, and few of them."""
    with gateway(stack, GUNICORNS) as port, slow_clients(HOST, port, manner, FEW):
        assert not all(is_there(port) for _ in range(3))


def test_clients_who_come_at_the_same_time_are_shared_among_the_processes(stack: LocalStack) -> None:
    with gateway(stack, processes=2) as port:
        poll(lambda: len(shared(port, TOGETHER)) == 2, seconds=60)  # both are there
        fewest = [min(shared(port, TOGETHER)) % TOGETHER for _ in range(9)]  # 0: one has all
    assert median(fewest) >= TOGETHER // 5, fewest


def shared(port: int, number: int) -> list[int]:
    """How many of so many clients each process has who come one right after the other, and go again."""

    def taken() -> Counter[int]:
        """Who is connected, and not taken on yet, is nobody's."""
        ends = [end for end in psutil.net_connections("tcp") if end.laddr[1] == port and end.status == "ESTABLISHED"]
        return Counter(end.pid for end in ends if end.pid)

    with ExitStack() as connected:
        for _ in range(number):
            connected.enter_context(socket.create_connection((HOST, port)))
        found = poll(lambda: sum((found := taken()).values()) == number and found)
    poll(lambda: not taken())
    return list(found.values())


@pytest.mark.long
def test_request_that_does_not_come_to_its_end_is_given_up_and_told_so(ours: int) -> None:
    connection = HTTPConnection(HOST, ours, timeout=20)
    connection.putrequest("POST", "/v1/auth/login")
    connection.putheader("Content-Length", "200")
    connection.endheaders(b"{")
    began = time.monotonic()
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (408, "close")
    assert b'"request_timeout"' in answer.read()
    assert 9 < time.monotonic() - began < 15


def test_client_that_waits_for_a_word_before_its_body_is_asked_once(ours: int) -> None:
    connection = HTTPConnection(HOST, ours, timeout=20)
    connection.putrequest("POST", "/v1/auth/login")
    for name, value in {"Content-Type": "application/json", "Content-Length": "5", "Expect": "100-continue"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"{nope")
    assert connection.sock.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_who_would_wait_too_long_is_turned_away_at_once_and_told_when_to_come_again(stack: LocalStack) -> None:
    request = b"GET /v1/concerts HTTP/1.1\r\nHost: x\r\n\r\n"
    with gateway(stack, amqp_uri=NOWHERE) as port:
        answers = send(HOST, port, itertools.repeat(request), each_second=200, seconds=2)
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as metrics:
            counted = metrics.read().decode()
        connection = HTTPConnection(HOST, port, timeout=20)
        connection.request("GET", "/v1/concerts", headers={"X-Request-ID": "order-4711"})
        assert connection.getresponse().headers["X-Request-ID"] == "order-4711"
    assert answers.counted == {503: answers.asked}
    assert answers.without_retry_after == 0
    assert answers.percentile(503, 0.5) < 2, "one after the other they would have waited for a minute"
    assert 'http_turned_away_total{line="rest"}' in counted
    assert 'http_refusals_total{code="unavailable"}' in counted


def test_script_of_a_site_that_may_call_can_read_that_it_is_turned_away(stack: LocalStack) -> None:
    with gateway(stack, amqp_uri=NOWHERE, CORS_ORIGINS="https://shop.example.org") as port, ExitStack() as afterwards:

        def turned_away(origin: str) -> Message | None:
            """The head of the answer, once there was no room; those before keep a thread for a second each."""
            for _ in range(FEW):
                before = afterwards.enter_context(socket.create_connection((HOST, port)))
                before.sendall(b"GET /v1/concerts HTTP/1.1\r\nHost: x\r\n\r\n")
            with closing(HTTPConnection(HOST, port, timeout=20)) as connection:
                connection.request("GET", "/v1/concerts", headers={"Origin": origin})
                answer = connection.getresponse()
                return answer.headers if BUSY in answer.read().decode() else None

        ours = poll(lambda: turned_away("https://shop.example.org"), seconds=20)
        others = poll(lambda: turned_away("https://evil.example"), seconds=20)
    assert ours["Access-Control-Allow-Origin"] == "https://shop.example.org"
    assert "Retry-After" in ours["Access-Control-Expose-Headers"]
    assert others["Access-Control-Allow-Origin"] is None
    assert ours["Vary"] == others["Vary"] == "Origin"
