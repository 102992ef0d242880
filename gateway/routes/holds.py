"""Holding tickets for a while, to book them in peace."""

from contextlib import nullcontext
from typing import Any

from flask import current_app

from booking_svc.contract import Hold
from gateway import schemas
from gateway.access import signed_in
from gateway.blueprint import Blueprint
from gateway.idempotency import has_key, key_header, key_or_new
from gateway.services import services
from gateway.sessions import identity

blueprint = Blueprint("holds", __name__, url_prefix="/v1/holds", description=__doc__)

KEY_HEADER = key_header(False, "A random text. A request repeated with the same key gets the same hold while it lasts.")


@blueprint.post("")
@blueprint.doc(parameters=[KEY_HEADER])
@blueprint.arguments(schemas.NewHold)
@blueprint.response(201, schemas.Hold, headers={"Location": "Location"})
@signed_in()
def hold_tickets(body: dict[str, Any]) -> Any:
    """Keep all of the items for you for ten minutes, or nothing."""
    key, inventory = key_or_new(), current_app.extensions["inventory"]
    with nullcontext() if has_key() else inventory.spares(**body):
        hold = services().booking.hold_tickets(user_id=identity().user_id, idempotency_key=key, **body)
    return hold, {"Location": f"/v1/holds/{hold['id']}"}


@blueprint.get("/<string:hold_id>")
@blueprint.response(200, schemas.Hold)
@signed_in()
def get_hold(hold_id: str) -> Hold:
    """One of your holds, while it lasts."""
    return services().booking.get_hold(user_id=identity().user_id, hold_id=hold_id)


@blueprint.post("/<string:hold_id>/extend")
@blueprint.response(200, schemas.Hold)
@signed_in()
def extend_hold(hold_id: str) -> Hold:
    """Keep the tickets for ten minutes from now; for thirty minutes in all at most, and not past the close of sales."""
    return services().booking.extend_hold(user_id=identity().user_id, hold_id=hold_id)


@blueprint.delete("/<string:hold_id>")
@blueprint.response(204)
@signed_in()
def release_hold(hold_id: str) -> None:
    """Give the tickets back. Others can have them at once."""
    services().booking.release_hold(user_id=identity().user_id, hold_id=hold_id)
