"""The one table from refusal to status and code."""

import inspect
from collections.abc import Iterator
from http import HTTPStatus
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from redis.exceptions import ConnectionError as RedisConnectionError

import auth_svc.contract
import booking_svc.contract
import concert_svc.contract
import mailer_svc.contract
from gateway import errors
from gateway.rpc import RemoteError
from rabbitmq.errors import Unavailable

CONTRACTS = (auth_svc.contract, booking_svc.contract, concert_svc.contract, mailer_svc.contract)

#: The API's promise. What the table says beyond it, or spells differently, breaks somebody's client.
PROMISED = {
    400: {"malformed_json", "idempotency_key_missing"},
    401: {"not_authenticated", "token_expired", "session_ended", "bad_credentials"},
    403: {"forbidden", "login_too_old"},
    404: {"not_found"},
    409: {
        "sold_out",
        "tickets_unavailable",
        "limit_reached",
        "not_on_sale_yet",
        "sales_closed",
        "concert_cancelled",
        "hold_expired",
        "already_cancelled",
        "not_cancellable",
        "wrong_state",
        "email_taken",
        "has_duties",
        "request_in_progress",
    },
    422: {"invalid", "idempotency_key_reused", "starts_too_soon"},
    429: {"rate_limited"},
    503: {"unavailable"},
}


def refusals(contract: ModuleType) -> Iterator[type[Exception]]:
    """Every refusal that the service of *contract* may answer with."""
    for _, cls in inspect.getmembers(contract, inspect.isclass):
        if issubclass(cls, contract.Refusal) and cls is not contract.Refusal:
            yield cls


ALL_REFUSALS = [refusal for contract in CONTRACTS for refusal in refusals(contract)]
each_refusal = pytest.mark.parametrize("refusal", ALL_REFUSALS, ids=lambda c: f"{c.__module__}.{c.__name__}")
each_entry = pytest.mark.parametrize("error", errors.TABLE, ids=lambda c: f"{c.__module__}.{c.__name__}")


@each_refusal
def test_every_refusal_of_every_contract_has_a_status_and_a_code(refusal: type[Exception]) -> None:
    assert refusal in errors.TABLE
    assert refusal in errors.CONTRACT_ERRORS


@each_entry
def test_every_code_is_one_the_api_promises(error: type[Exception]) -> None:
    status, code = errors.TABLE[error]
    assert code in PROMISED[status]


@each_refusal
def test_every_refusal_says_in_one_line_what_is_the_case(refusal: type[Exception]) -> None:
    text = str(refusal("some", "arguments"))
    assert text == str(refusal.__doc__).strip()
    assert "\n" not in text and text.endswith(".")


def answer_to(error: Exception) -> Any:
    """What a client gets when a route raises *error*."""
    app = Flask(__name__)
    errors.register(app)

    @app.get("/")
    def fail() -> str:
        raise error

    return app.test_client().get("/")


@each_entry
def test_refusal_is_answered_as_a_problem(error: type[Exception]) -> None:
    status, code = errors.TABLE[error]
    answer = answer_to(error("an argument"))
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.json["code"] == code
    assert answer.json["type"] == f"/errors#{code}"
    assert answer.json["status"] == status
    assert answer.json["title"] == HTTPStatus(status).phrase
    assert answer.json["detail"].endswith(".")


def test_refusal_of_an_item_says_what_of_it() -> None:
    answer = answer_to(booking_svc.contract.TicketsUnavailable("B-1-2", "B-1-3"))
    assert answer.json["errors"] == {"items": ["B-1-2 is not available.", "B-1-3 is not available."]}
    assert answer_to(booking_svc.contract.UnknownSeat("{0}{x}")).json["errors"] == {
        "items": ["There is no seat {0}{x}."]
    }
    assert "errors" not in answer_to(booking_svc.contract.SoldOut()).json


def test_refusal_names_the_limit_and_the_state() -> None:
    limited = answer_to(booking_svc.contract.LimitReached("4", "3")).json
    assert limited["errors"] == {"items": ["At most 4 tickets per person; you have 3, held ones among them."]}
    assert "errors" not in answer_to(booking_svc.contract.LimitReached()).json
    wrong = answer_to(concert_svc.contract.WrongState("published")).json
    assert wrong["errors"] == {"status": ["It is published."]}
    assert wrong["next"]


def test_whose_token_is_bad_is_told_how_to_authenticate() -> None:
    assert answer_to(errors.NotAuthenticated()).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "error", [Unavailable("booking_svc"), RedisConnectionError("refused"), booking_svc.contract.RequestInProgress()]
)
def test_who_may_try_again_is_told_when(error: Exception) -> None:
    assert int(answer_to(error).headers["Retry-After"]) >= 1


def test_what_is_unavailable_is_not_named_to_the_world() -> None:
    assert "booking_svc" not in answer_to(Unavailable("booking_svc")).text


def test_mistake_of_ours_is_answered_without_its_details() -> None:
    answer = answer_to(RemoteError("auth_svc.login: KeyError 'password_hash'"))
    assert (answer.status_code, answer.json["code"]) == (500, "internal")
    assert "password_hash" not in answer.text


def test_subclass_of_an_error_in_the_table_is_answered_like_it() -> None:
    class Shutdown(RedisConnectionError):
        pass

    assert answer_to(Shutdown()).json["code"] == "unavailable"
