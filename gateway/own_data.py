"""What is stored about a user, as one JSON file for them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from flask import Response, json, stream_with_context
from marshmallow import Schema

from auth_svc.contract import AuditEntry, User
from gateway import schemas
from gateway.long_lists import AT_ONCE, Page, pages
from gateway.services import Services


def export(services: Services, user: User, sessions: list[dict[str, Any]]) -> Response:
    """The JSON of `schemas.OwnData`, sent while it is read."""

    def bookings(cursor: str | None) -> Page:
        return cast(Page, services.booking.list_bookings(user_id=user["id"], limit=AT_ONCE, cursor=cursor))

    def events(cursor: str | None) -> Page:
        found = services.auth.list_audit_entries(user_id=user["id"], event=None, limit=AT_ONCE, cursor=cursor)
        return {**found, "items": [_about(user["id"], entry) for entry in found["items"]]}

    parts = {
        "sessions": _array(schemas.Session(), [{"items": sessions}]),
        "bookings": _array(schemas.Booking(), pages(bookings)),
        "security_events": _array(schemas.AuditEntry(), pages(events)),
    }
    response = Response(stream_with_context(_object(user, parts)), content_type="application/json")
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response


def _about(user_id: str, entry: AuditEntry) -> AuditEntry:
    """What the user may know of it: who else did something, and from where, are data of that person."""
    if entry["actor_id"] in (None, user_id):
        return entry
    return {**entry, "actor_id": None, "address": None, "device": None}


def _object(user: User, parts: Mapping[str, Iterable[str]]) -> Iterator[str]:
    yield f'{{"user":{json.dumps(schemas.User().dump(user))}'
    for name, array in parts.items():
        yield f',"{name}":'
        yield from array
    yield "}"


def _array(schema: Schema, some: Iterable[Page]) -> Iterator[str]:
    before = "["
    for page in some:
        if page["items"]:
            yield before + ",".join(map(json.dumps, schema.dump(page["items"], many=True)))
            before = ","
    yield "[]" if before == "[" else "]"
