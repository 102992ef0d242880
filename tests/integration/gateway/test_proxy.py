"""The proxy that docker-compose.yml has in front of the gateway, as Debian's nginx with the same settings."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from gateway.catalogue import CODES, type_of
from local.settings import ROOT
from tests.integration.gateway.serving import HOST, gateway, is_there
from tests.integration.gateway.slow_clients import MANNERS, Manner, slow_clients
from tests.local_stack import LocalStack, free_port
from tests.polling import poll

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
MANY = 200


@contextmanager
def proxy(folder: Path, gateway_port: int) -> Iterator[int]:
    """The port of an nginx with the settings of docker-compose.yml, which passes on to this port."""
    port = free_port()
    conf = (ROOT / "nginx" / "nginx.conf").read_text()
    for ours, here in {
        r"resolver .*": "",  # Docker's, and newer than Debian's nginx
        r"zone gateways .*": "",
        r"server gateway:3000 resolve;": f"server {HOST}:{gateway_port};",
        r"listen 8080;": f"listen {HOST}:{port};",
        r"/tmp/": f"{folder}/",
    }.items():
        conf, times = re.subn(ours, here, conf)
        assert times, f"{ours} is not there"
    (folder / "nginx.conf").write_text(conf)
    itself = "daemon off;" + ("user root;" if os.getuid() == 0 else "")
    process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-e", "stderr", "-g", itself])
    try:
        poll(lambda: answers(port), seconds=20)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/metrics").status == 404
    except OSError:
        return False


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    address: str = HOST,
) -> HTTPResponse:
    connection = HTTPConnection(HOST, port, timeout=10, source_address=(address, 0))
    connection.request(method, path, body, headers or {})
    return connection.getresponse()


@pytest.fixture(scope="module")
def port(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with gateway(stack) as behind, proxy(tmp_path_factory.mktemp("nginx"), behind) as port:
        assert ask(behind, "GET", "/metrics").status == 200
        yield port


def check_refusal(answer: HTTPResponse, code: str) -> None:
    """It has the form of all refusals, and says what the catalogue says."""
    problem = json.loads(answer.read())
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem == {
        "type": type_of(code),
        "title": HTTPStatus(CODES[code].status).phrase,
        "status": CODES[code].status,
        "detail": problem["detail"],
        "code": code,
        "request_id": answer.headers["X-Request-ID"],
    }
    assert (answer.status, re.fullmatch("[0-9a-f]{32}", problem["request_id"]) is None) == (problem["status"], False)
    assert (answer.headers["Retry-After"] is None) == (answer.status != 503)


def test_it_passes_on_what_is_for_users(port: int) -> None:
    for path in ("/health/live", "/docs", "/openapi.json", "/errors"):
        assert ask(port, "GET", path).status == 200
    answer = ask(port, "GET", "/v1/me", headers={"X-Request-ID": "order-4711"})
    assert (answer.status, answer.headers["X-Request-ID"]) == (401, "order-4711")


def test_it_shows_nobody_the_metrics(port: int) -> None:
    check_refusal(ask(port, "GET", "/metrics"), "not_found")
    check_refusal(ask(port, "GET", "/v1/../metrics"), "not_found")


def test_what_it_refuses_itself_looks_like_all_other_refusals(port: int) -> None:
    as_json = {"Content-Type": "application/json"}
    check_refusal(ask(port, "POST", "/v1/auth/login", b" " * 65537, as_json), "content_too_large")
    check_refusal(ask(port, "GET", "/v1/concerts?q=" + "x" * 40_000), "uri_too_long")
    check_refusal(ask(port, "GET", "/v1/concerts", headers={"X": "x" * 40_000}), "headers_too_large")
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall(b"GET\r\nHost: x\r\n\r\n")
        answer = HTTPResponse(connection)
        answer.begin()
        check_refusal(answer, "malformed_request")


def test_clients_are_told_apart_by_their_own_address_whatever_they_say(stack: LocalStack, tmp_path: Path) -> None:
    limits = {"RATELIMIT_ENABLED": "true", "RATELIMIT_READS": "3 per minute", "TRUSTED_PROXIES": "1"}
    with gateway(stack, **limits) as behind, proxy(tmp_path, behind) as port:

        def statuses(address: str, says: str) -> list[int]:
            says_so = {"X-Forwarded-For": says}
            return [ask(port, "GET", "/v1/me", headers=says_so, address=address).status for _ in range(4)]

        assert statuses("127.0.0.2", "127.0.0.3") == [401, 401, 401, 429]
        assert statuses("127.0.0.3", "127.0.0.2") == [401, 401, 401, 429]


def test_without_a_gateway_it_says_so_at_once(tmp_path: Path) -> None:
    with proxy(tmp_path, gateway_port=free_port()) as port:
        check_refusal(ask(port, "GET", "/v1/concerts"), "unavailable")


@pytest.mark.parametrize("manner", MANNERS.values(), ids=MANNERS)
def test_two_hundred_slow_clients_hold_up_nobody(port: int, manner: Manner) -> None:
    with slow_clients(HOST, port, manner, MANY):
        for _ in range(3):
            poll(lambda: is_there(port, seconds=10), seconds=20)
