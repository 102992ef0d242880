"""How long a request's calls may take, all together."""

from typing import Any, cast

import pytest
from flask import Flask

from gateway import services
from gateway.rpc import TIMEOUT, RpcClient
from gateway.services import connect, renew_patience


class Clock:
    """Each call of a service takes a second and a half."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.patience: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now

    def call(self, service: str, method: str, arguments: Any, headers: Any, timeout: float) -> None:
        self.patience.append(timeout)
        self.now += 1.5


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(services, "time", clock)
    return clock


def test_calls_of_one_request_share_its_time(clock: Clock) -> None:
    booking = connect(cast(RpcClient, clock)).booking
    app = Flask(__name__)
    for _ in range(2):
        with app.test_request_context(headers={}):
            services.g.request_id = "r1"
            for _ in range(4):
                booking.get_availability(concert_id="c1")
    assert clock.patience == [TIMEOUT, TIMEOUT - 1.5, TIMEOUT - 3, 0] * 2


def test_answer_that_has_begun_may_take_its_time_again(clock: Clock) -> None:
    booking = connect(cast(RpcClient, clock)).booking
    with Flask(__name__).test_request_context():
        services.g.request_id = "r1"
        booking.get_availability(concert_id="c1")
        renew_patience()
        booking.get_availability(concert_id="c1")
    assert clock.patience == [TIMEOUT, TIMEOUT]
