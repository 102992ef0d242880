"""The blueprint of every noun: flask-smorest's, reading JSON as JSON is meant, and serving what says for whom it is."""

from collections.abc import Callable
from typing import Any, TypeVar

import flask_smorest
from flask import Request, abort
from marshmallow import Schema
from webargs.flaskparser import FlaskParser

from gateway.access import declared
from gateway.bodies import check_depth

View = TypeVar("View", bound=Callable[..., Any])


class _Parser(FlaskParser):
    """Python also gives up on great depth, and on numbers of thousands of digits: neither is JSON of ours."""

    def load_json(self, req: Request, schema: Any) -> Any:
        """What is said to be something else is not tried as JSON; nor is it taken for nothing."""
        if not req.is_json and (req.content_length or req.mimetype):
            abort(415)
        return super().load_json(req, schema)

    def _raw_load_json(self, req: Request) -> Any:
        try:
            body = super()._raw_load_json(req)
        except (RecursionError, ValueError):
            abort(400)
        check_depth(body)
        return body


class Blueprint(flask_smorest.Blueprint):
    """A noun's routes."""

    ARGUMENTS_PARSER = _Parser()

    def arguments(self, schema: type[Schema], **options: Any) -> Callable[[View], View]:
        """What a view gets of its request. The schema is made here, once for all requests."""
        return super().arguments(schema(), **options)

    @staticmethod
    def refuses(*errors: type[Exception]) -> Callable[[View], View]:
        """The route itself raises these of gateway.errors.TABLE; what the RPCs that it calls raise is known."""

        def decorate(view: View) -> View:
            view.refusals = errors  # type: ignore[attr-defined]  # functools.wraps carries it outwards
            return view

        return decorate

    @staticmethod
    def streams(view: View) -> View:
        """The answer is sent while it is made: it has no ETag, and is never 304."""
        view.streams = True  # type: ignore[attr-defined]  # functools.wraps carries it outwards
        return view

    def route(self, rule: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """
        Serve a view, and tell in the OpenAPI document who may call it.

        Raises:
            UndeclaredRoute: the view does not say it.
        """
        register = super().route(rule, **options)

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            return register(self.doc(**declared(view).as_openapi())(view))

        return decorate
