"""The blueprint of every noun: flask-smorest's, reading JSON as JSON is meant."""

from typing import Any

import flask_smorest
from flask import Request, abort
from webargs.flaskparser import FlaskParser


class _Parser(FlaskParser):
    """Python also gives up on great depth, and on numbers of thousands of digits: neither is JSON of ours."""

    def load_json(self, req: Request, schema: Any) -> Any:
        """What is said to be something else is not tried as JSON; nor is it taken for nothing."""
        if not req.is_json and (req.content_length or req.mimetype):
            abort(415)
        return super().load_json(req, schema)

    def _raw_load_json(self, req: Request) -> Any:
        try:
            return super()._raw_load_json(req)
        except (RecursionError, ValueError):
            abort(400)


class Blueprint(flask_smorest.Blueprint):
    """A noun's routes."""

    ARGUMENTS_PARSER = _Parser()
