"""The OpenAPI document is the API: every route, all it answers, examples that fit. Each failure says what to add."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from gateway import errors
from gateway.app import create_app
from gateway.catalogue import CODES
from gateway.config import from_environment
from gateway.examples import bodies, without_example
from gateway.openapi import rpc_methods, views


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMQP_URI", "amqp://127.0.0.1:1/")
        patch.setenv("SESSION_REDIS_URL", "redis://127.0.0.1:1/0")
        patch.setenv("JWT_SECRET_KEY", "0123456789abcdef" * 4)
        yield create_app(from_environment())


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    return dict(app.extensions["openapi"])


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def answers(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for status, answer in operation["responses"].items():
        name = answer.get("$ref", "").rpartition("/")[2]
        yield status, document["components"]["responses"][name] if name else answer


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_document_has_every_route_that_is_served_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    served = {(path, method) for path, method, _ in views(app)}
    described = {(path, method) for path, method, _ in operations(document)}
    assert served - described == set(), "routes that are in no document: use gateway.blueprint.Blueprint"
    assert described - served == set()


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)), "two views have the same name"
    for path, method, operation in operations(document):
        assert operation.get("summary"), f"{method.upper()} {path}: its view needs a docstring"
    tags = {tag["name"]: tag.get("description") for tag in document["tags"]}
    assert all(tags.values()), "every blueprint needs a description"


def test_every_field_has_an_example(document: dict[str, Any]) -> None:
    assert without_example(document) == [], (
        "these fields need metadata={'example': ...}, or, where the word means the same everywhere, "
        "an entry in gateway.examples.BY_NAME"
    )


def test_every_example_is_valid(document: dict[str, Any]) -> None:
    components = {"components": document["components"]}
    for where, content in bodies(document):
        examples = [content["example"]] if "example" in content else []
        examples += [example["value"] for example in content.get("examples", {}).values()]
        assert examples, f"{where} has no example"
        for example in examples:
            found = [
                error.message
                for error in Draft202012Validator({**content["schema"], **components}).iter_errors(example)
            ]
            assert not found, f"{where}: its example {example} does not fit: {found}; give the field a better one"


def test_every_parameter_of_a_path_has_an_example(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        named = {parameter["name"] for parameter in item.get("parameters", []) if parameter.get("example")}
        assert named == set(re.findall(r"{(\w+)}", path)), path


def test_patterns_are_javascripts(document: dict[str, Any]) -> None:
    for pattern in re.findall(r'"pattern": ("(?:[^"\\\\]|\\\\.)*")', json.dumps(document)):
        assert "\\Z" not in pattern and "\\ud800" not in pattern.lower()
        jsonschema_rs.Draft202012Validator({"pattern": json.loads(pattern)})


def test_every_refusal_is_a_problem_with_the_codes_it_may_have(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in answers(document, operation):
            assert status != "default"
            assert "X-Request-ID" in answer["headers"], (path, method, status)
            if status >= "400" and path != "/health/ready":
                content = answer["content"]["application/problem+json"]
                _, narrowed = content["schema"]["allOf"]
                codes = narrowed["properties"]["code"]["enum"]
                assert set(codes) == content["examples"].keys()
                assert {CODES[code].status for code in codes} == {int(status)}


def test_summary_is_plain_text(document: dict[str, Any]) -> None:
    assert [operation["summary"] for _, _, operation in operations(document) if "`" in operation["summary"]] == []


def test_route_is_refused_as_the_contracts_of_what_it_calls_say(document: dict[str, Any]) -> None:
    codes = {
        code
        for status, answer in answers(document, document["paths"]["/v1/bookings"]["post"])
        if status >= "400"
        for code in answer["content"]["application/problem+json"]["examples"]
    }
    assert codes >= {
        "sold_out", "tickets_unavailable", "hold_expired", "limit_reached", "not_on_sale_yet", "sales_closed",
        "concert_cancelled", "idempotency_key_missing", "idempotency_key_reused", "request_in_progress", "not_found",
        "invalid", "malformed_json", "not_authenticated", "session_ended", "unavailable",
    }  # fmt: skip


def test_every_view_that_needs_a_service_is_seen_to_call_it(app: Flask) -> None:
    blind = [
        view.__name__
        for path, _, view in views(app)
        if path.startswith("/v1/") and not rpc_methods(view) and not getattr(view, "refusals", ())
    ]
    assert blind == [], (
        "of these views nothing tells what they may be refused with: call services().<service>.<method>(...) in the "
        "view itself, or say @blueprint.refuses(...)"
    )


def test_every_code_is_in_the_catalogue_with_its_status() -> None:
    for error, (status, code) in errors.TABLE.items():
        assert code in CODES, f"{error.__name__}: gateway.catalogue.CODES needs {code!r} with its cause and cure"
        assert CODES[code].status == status
    assert set(errors.meanings()) == set(CODES), "a code that nothing answers with"


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_cause_and_a_cure_and_a_place_on_the_page(code: str, app: Flask) -> None:
    entry = CODES[code]
    for text in (entry.cause, entry.cure, *(step.do for step in entry.next)):
        assert text.endswith(".") and len(text) > 10
    assert f'id="{code}"' in app.test_client().get("/errors").text


@pytest.mark.parametrize(
    "code", ["sold_out", "not_on_sale_yet", "sales_closed", "limit_reached", "tickets_unavailable", "wrong_state"]
)
def test_refusal_of_a_concert_says_what_to_do_next(code: str, app: Flask, document: dict[str, Any]) -> None:
    assert CODES[code].next
    known = {(method.upper(), path) for path, method, _ in operations(document)}
    for step in CODES[code].next:
        assert step.href is None or (step.method, step.href) in known
