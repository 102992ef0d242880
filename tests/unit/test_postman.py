"""The Postman collection is made of the OpenAPI document and the stories; this says when it has to be made again."""

import json
from typing import Any

import pytest

from local.settings import ROOT
from postman import __main__ as postman
from postman import collection
from postman.stories import ENDINGS, STORIES


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AMQP_URI", "SESSION_REDIS_URL", "JWT_SECRET_KEY"):
            patch.setenv(name, "")  # so that it is as it was, afterwards
        return postman.document()


def requests(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [request for item in items for request in (requests(item["item"]) if "item" in item else [item])]


@pytest.fixture(scope="module")
def ours() -> list[dict[str, Any]]:
    return requests(json.loads(postman.COLLECTION.read_text())["item"])


def test_every_operation_is_requested_as_the_document_has_it(
    document: dict[str, Any], ours: list[dict[str, Any]]
) -> None:
    asked = {
        (r["request"]["method"], r["request"]["url"]["raw"].removeprefix("{{base_url}}").partition("?")[0])
        for r in ours
    }
    shapes = {(method, collection.shape(path)) for method, path in asked}
    known = {(method.upper(), collection.shape(path)) for path, method, _ in collection.operations(document).values()}
    missing = sorted(" ".join(pair) for pair in known - shapes)
    assert missing == [], f"the collection has no request for {missing}: run .venv/bin/python -m postman"
    assert shapes - known == set(), "the collection has requests that the API has not: run .venv/bin/python -m postman"


def test_files_are_made_of_the_document_and_the_stories(document: dict[str, Any]) -> None:
    told = "the API or a story has changed: run .venv/bin/python -m postman, and commit what it writes"
    assert postman.COLLECTION.read_text() == postman.text(collection.build(document)), told
    assert postman.ENVIRONMENT.read_text() == postman.text(collection.environment()), told


def test_stories_are_of_operations_that_there_are(document: dict[str, Any]) -> None:
    told = {step.operation for story in (*STORIES.values(), *ENDINGS.values()) for step in story}
    assert told - collection.operations(document).keys() == set(), "postman/stories.py asks for what is gone"


def test_every_request_tests_its_answer_and_has_an_example_of_it(ours: list[dict[str, Any]]) -> None:
    for request in ours:
        scripts = {event["listen"]: "\n".join(event["script"]["exec"]) for event in request["event"]}
        assert "pm.test(" in scripts["test"], request["name"]
        assert request["response"], request["name"]


def test_no_secret_and_no_address_of_a_registry_is_kept() -> None:
    values = {value["key"]: value["value"] for value in json.loads(postman.ENVIRONMENT.read_text())["values"]}
    assert values["admin_password"] == ""
    lock = json.loads((ROOT / "postman" / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
