"""The page that every problem's `type` points to: all codes, and what each means."""

from flask import Blueprint, render_template

from gateway.errors import catalogue

blueprint = Blueprint("catalogue", __name__, template_folder="../templates")


@blueprint.get("/errors")
def list_errors() -> str:
    """Every code the API answers with, generated from the table that answers."""
    return render_template("errors.html.j2", entries=catalogue())
