"""One's own profile."""

from typing import Any

from auth_svc.contract import User
from gateway import schemas
from gateway.blueprint import Blueprint
from gateway.services import services
from gateway.sessions import identity, signed_in

blueprint = Blueprint("me", __name__, url_prefix="/v1/me", description=__doc__)


@blueprint.get("")
@blueprint.doc(security=[{"bearer": []}])
@blueprint.response(200, schemas.User)
@signed_in()
def get_profile() -> User:
    """Who you are."""
    return services().auth.get_profile(user_id=identity().user_id)


@blueprint.patch("")
@blueprint.doc(security=[{"bearer": []}])
@blueprint.arguments(schemas.ProfileChange)
@blueprint.response(200, schemas.User)
@signed_in()
def update_profile(body: dict[str, Any]) -> User:
    """Change your name."""
    return services().auth.update_profile(user_id=identity().user_id, name=body["name"])
