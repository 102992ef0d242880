"""What a developer reads and tries: the OpenAPI document, and an interactive page of it."""

import functools
import gzip
import hashlib
import mimetypes
from pathlib import Path
from typing import NamedTuple

import flask_swagger_ui
from flask import Response, current_app, jsonify, render_template, request

from gateway.access import anyone
from gateway.blueprint import Blueprint
from gateway.errors import NoSuchFile

blueprint = Blueprint("docs", __name__, template_folder="../templates", description=__doc__)

OURS = Path(__file__).parents[1] / "static"
PACKAGE = Path(flask_swagger_ui.__file__).parent / "dist"
#: What the page loads; nothing comes from elsewhere.
FILES = {
    **{name: OURS / name for name in ("docs.css", "docs.js", "icon.svg")},
    **{name: PACKAGE / name for name in ("swagger-ui.css", "swagger-ui-bundle.js")},
}
#: Swagger UI writes styles into its elements, and draws its arrows from data: addresses.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class File(NamedTuple):
    kind: str
    tag: str
    gzipped: bytes


@blueprint.get("/openapi.json")
@blueprint.response(200, {"type": "object"})
@anyone()
def get_document() -> Response:
    """This document."""
    return jsonify(current_app.extensions["openapi"])


@blueprint.get("/docs")
@blueprint.response(200, {"type": "string"}, content_type="text/html")
@anyone()
def show_docs() -> Response:
    """The page you are perhaps looking at: read about each route, log in, and try it."""
    return Response(render_template("docs.html.j2"), headers={"Content-Security-Policy": POLICY})


@blueprint.get("/docs/<string:file>")
@blueprint.response(200, {"type": "string"}, content_type="*/*")
@blueprint.refuses(NoSuchFile)
@anyone()
def get_docs_file(file: str) -> Response:
    """A script, a style sheet or a picture of that page."""
    if file not in FILES:
        raise NoSuchFile
    kept = _read(file)
    response = Response(mimetype=kept.kind, headers={"Cache-Control": "no-cache"})
    response.vary.add("Accept-Encoding")
    response.set_etag(kept.tag, weak=True)
    if request.accept_encodings["gzip"]:
        response.content_encoding = "gzip"
        response.set_data(kept.gzipped)
    else:
        response.set_data(gzip.decompress(kept.gzipped))
    response.make_conditional(request.environ)
    return response


@functools.cache
def _read(name: str) -> File:
    """Read and compressed once for each process."""
    data = FILES[name].read_bytes()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return File(kind, hashlib.sha256(data).hexdigest()[:32], gzip.compress(data, mtime=0))
