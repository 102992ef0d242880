"""A route says who may call it, or it is not served."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from gateway.access import UndeclaredRoute, anyone, declared, maybe_signed_in, signed_in, with_refresh_token
from gateway.blueprint import Blueprint


def view() -> str:
    return "served"


def test_route_that_says_nothing_is_refused_when_it_is_made() -> None:
    blueprint = Blueprint("nouns", __name__, url_prefix="/nouns")
    with pytest.raises(UndeclaredRoute, match="view"):
        blueprint.get("")(view)
    with pytest.raises(UndeclaredRoute):
        declared(None)


@pytest.mark.parametrize(
    ("declare", "documented"),
    [
        (anyone(), {"security": []}),
        (maybe_signed_in(), {"security": [{}, {"bearer": []}]}),
        (signed_in(), {"security": [{"bearer": []}]}),
        (signed_in("organiser", "admin"), {"security": [{"bearer": []}], "x-roles": ["organiser", "admin"]}),
        (with_refresh_token(), {"security": [{"refresh_token": []}]}),
    ],
)
def test_document_says_what_the_route_says(declare: Callable[..., Any], documented: dict[str, Any]) -> None:
    assert declared(declare(lambda: None)).as_openapi() == documented


def test_decorators_around_it_keep_what_it_says() -> None:
    declaring = signed_in("admin")(lambda: None)

    @functools.wraps(declaring)
    def around() -> None: ...

    assert declared(around) == declared(declaring)
