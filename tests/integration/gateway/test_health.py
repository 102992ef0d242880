"""What the gateway says of itself while servers it needs are out of reach."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.config import from_environment
from tests.local_stack import LocalStack, free_port
from tests.polling import poll


@pytest.fixture
def nowhere() -> str:
    """A host and port where nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Starts a gateway in this process on the given addresses."""
    started = []

    def start(amqp_uri: str, session_redis_url: str) -> FlaskClient:
        monkeypatch.setenv("AMQP_URI", amqp_uri)
        monkeypatch.setenv("SESSION_REDIS_URL", session_redis_url)
        monkeypatch.setenv("JWT_SECRET_KEY", "0123456789abcdef" * 4)
        started.append(create_app(from_environment()))
        return started[-1].test_client()

    yield start
    for app in started:
        app.extensions["rpc"].close()


def test_gateway_is_ready_when_all_it_needs_answers(stack: LocalStack, gateway: Any) -> None:
    client = gateway(stack.amqp_uri, stack.session_redis_url)
    answer = poll(lambda: (got := client.get("/health/ready")).status_code == 200 and got)
    assert answer.json["status"] == "ready"
    assert set(answer.json["checks"].values()) == {"ok"}


def test_gateway_without_its_broker_lives_and_says_within_three_seconds_that_it_is_not_ready(
    stack: LocalStack, gateway: Any, nowhere: str
) -> None:
    client = gateway(f"amqp://{nowhere}/", stack.session_redis_url)
    assert client.get("/health/live").status_code == 200
    began = time.monotonic()
    answer = client.get("/health/ready")
    assert time.monotonic() - began < 3
    assert answer.status_code == 503
    checks = answer.json["checks"]
    assert checks.pop("sessions") == "ok"
    assert {checks.pop(server) for server in ("mongodb", "inventory")} == {"unknown"}
    assert checks.keys() == {"rabbitmq", "auth_svc", "concert_svc", "booking_svc", "mailer_svc"}
    assert set(checks.values()) == {"does not answer"}


def test_gateway_without_its_sessions_is_not_ready(stack: LocalStack, gateway: Any, nowhere: str) -> None:
    answer = gateway(stack.amqp_uri, f"redis://{nowhere}/0").get("/health/ready")
    assert answer.status_code == 503
    checks = answer.json["checks"]
    assert checks.pop("sessions") == "does not answer"
    assert set(checks.values()) == {"ok"}


def test_request_without_a_broker_is_unavailable_with_a_time_to_come_back(
    stack: LocalStack, gateway: Any, nowhere: str
) -> None:
    answer = gateway(f"amqp://{nowhere}/", stack.session_redis_url).get("/v1/concerts")
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
