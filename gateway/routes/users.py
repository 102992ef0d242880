"""What an administrator does to users."""

from typing import Any

from auth_svc.contract import User
from gateway import schemas
from gateway.access import signed_in
from gateway.blueprint import Blueprint
from gateway.origin import origin
from gateway.services import services
from gateway.sessions import identity

blueprint = Blueprint("users", __name__, url_prefix="/v1/users", description=__doc__)


@blueprint.post("/find")
@blueprint.arguments(schemas.UserSearch)
@blueprint.response(200, schemas.User)
@signed_in("admin")
def find_user(body: dict[str, Any]) -> User:
    """Who has this e-mail address. It stands in the body, so that no log of addresses knows it."""
    return services().auth.find_user(email=body["email"], actor_id=identity().user_id, origin=origin())


@blueprint.delete("/<string:user_id>")
@blueprint.response(204)
@signed_in("admin")
def erase_user(user_id: str) -> None:
    """
    Erase the account of somebody who asks for it and cannot do it themselves, as DELETE /v1/me does.

    It needs a login of yours within the last 15 minutes. Once more for who is erased already, it is 204 as well.
    """
    me = identity()
    services().auth.erase_account(user_id=user_id, actor_id=me.user_id, session_id=me.session_id, origin=origin())


@blueprint.put("/<string:user_id>/roles")
@blueprint.arguments(schemas.Roles)
@blueprint.response(200, schemas.User)
@signed_in("admin")
def set_roles(body: dict[str, Any], user_id: str) -> User:
    """Give a user these roles. Their sessions end: they log in again with the new ones."""
    return services().auth.set_roles(user_id=user_id, roles=body["roles"], actor_id=identity().user_id, origin=origin())
