"""What the gateway's log says of a request."""

import logging

import pytest
from flask import Flask

from gateway import headers, request_log
from rabbitmq import logs
from rabbitmq.logs import Logfmt


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    app.config["CORS_ORIGINS"] = []
    headers.register(app)
    request_log.register(app)
    app.add_url_rule("/v1/things/<name>", view_func=lambda name: (logs.request_id.get() or "", 418))
    app.add_url_rule("/health/live", "live", lambda: "")
    return app


def test_each_request_is_a_line_with_its_id(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = app.test_client().get("/v1/things/a?q=private", headers={"X-Request-ID": "r1"})
    assert answer.text == "r1", "what is written meanwhile has it, too"
    (record,) = [record for record in caplog.records if record.name == request_log.__name__]
    line = Logfmt("gateway").format(record)
    assert "method=GET path=/v1/things/a status=418" in line
    assert "private" not in line


def test_path_cannot_write_a_line_of_its_own(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app.test_client().get("/v1/things/a%0Alevel=error%20b%E2%80%A8c")
    assert Logfmt("gateway").format(caplog.records[-1]).isprintable()


def test_health_is_not_told_of(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app.test_client().get("/health/live")
    assert not [record for record in caplog.records if record.name == request_log.__name__]
