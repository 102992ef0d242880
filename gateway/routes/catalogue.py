"""The page that every problem's `type` leads to: all codes, why each comes, and what to do."""

import re
from http import HTTPStatus

from flask import Response, render_template
from markupsafe import Markup, escape

from gateway.access import anyone
from gateway.blueprint import Blueprint
from gateway.catalogue import CODES
from gateway.errors import meanings

blueprint = Blueprint("catalogue", __name__, template_folder="../templates", description=__doc__)

#: The page's style is in the page; it loads nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@blueprint.get("/errors")
@blueprint.response(200, {"type": "string"}, content_type="text/html")
@anyone()
def list_errors() -> Response:
    """Every code the API refuses with, generated from the table that refuses."""
    phrases = {status.value: status.phrase for status in HTTPStatus}
    page = render_template("errors.html.j2", codes=CODES, meanings=meanings(), phrases=phrases)
    return Response(page, headers={"Content-Security-Policy": POLICY})


@blueprint.app_template_filter("marked")
def mark_code(text: str) -> Markup:
    """`code` in backticks, as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
