"""One's own profile, password and sessions."""

from typing import Any

from flask import Response

from auth_svc.contract import ActiveSession, User
from gateway import own_data, schemas
from gateway.access import signed_in
from gateway.blueprint import Blueprint
from gateway.origin import origin
from gateway.services import services
from gateway.sessions import identity

blueprint = Blueprint("me", __name__, url_prefix="/v1/me", description=__doc__)


@blueprint.get("")
@blueprint.response(200, schemas.User)
@signed_in()
def get_profile() -> User:
    """Who you are."""
    return services().auth.get_profile(user_id=identity().user_id)


@blueprint.patch("")
@blueprint.arguments(schemas.ProfileChange)
@blueprint.response(200, schemas.User)
@signed_in()
def update_profile(body: dict[str, Any]) -> User:
    """Change your name."""
    return services().auth.update_profile(user_id=identity().user_id, name=body["name"])


@blueprint.delete("")
@blueprint.response(204)
@signed_in()
def erase_account() -> None:
    """
    Have your account erased: name, address and password are gone, and all your sessions end. It cannot be undone.

    It needs a login within the last 15 minutes. What you have booked stays booked, under an id that tells nobody who
    you are: cancel it first if you do not want it, or keep the tickets. Afterwards you can neither see them here nor
    get mails about them. If the answer is lost, a repeated request is told `session_ended`.
    """
    me = identity()
    services().auth.erase_account(user_id=me.user_id, actor_id=me.user_id, session_id=me.session_id, origin=origin())


@blueprint.get("/data")
@blueprint.response(200, schemas.OwnData)
@blueprint.streams
@signed_in(rate="accounts")
def export_data() -> Response:
    """
    What is stored about you, as a file: profile, sessions, bookings, and the security events of your account.

    Holds, which last half an hour at most, are not in it, nor the concerts of an organiser: GET /v1/concerts/mine.
    """
    user = services().auth.get_profile(user_id=identity().user_id)
    sessions = services().auth.list_sessions(user_id=user["id"])
    return own_data.export(services(), user, _marked(sessions))


@blueprint.put("/password")
@blueprint.arguments(schemas.PasswordChange)
@blueprint.response(204)
@signed_in(rate="accounts")
def change_password(body: dict[str, Any]) -> None:
    """Change your password. All your sessions end, this one too: log in again with the new one."""
    services().auth.change_password(user_id=identity().user_id, **body, origin=origin())


@blueprint.post("/email-verification")
@blueprint.response(202)
@signed_in(rate="accounts")
def request_email_verification() -> Response:
    """Get another mail to verify your address by, unless it is verified."""
    services().auth.request_email_verification(user_id=identity().user_id, origin=origin())
    return Response(status=202)


@blueprint.get("/sessions")
@blueprint.response(200, schemas.Sessions)
@signed_in()
def list_sessions() -> dict[str, Any]:
    """Where you are logged in, the session last seen first."""
    return {"items": _marked(services().auth.list_sessions(user_id=identity().user_id))}


@blueprint.delete("/sessions")
@blueprint.response(204)
@signed_in()
def end_all_sessions() -> None:
    """Log out everywhere, here too, at once."""
    services().auth.end_all_sessions(user_id=identity().user_id, origin=origin())


@blueprint.delete("/sessions/<string:session_id>")
@blueprint.response(204)
@signed_in()
def end_session(session_id: str) -> None:
    """Log out one of your sessions, at once."""
    services().auth.end_session(user_id=identity().user_id, session_id=session_id, origin=origin())


def _marked(sessions: list[ActiveSession]) -> list[dict[str, Any]]:
    """*sessions*, with the one that is asked with told apart."""
    return [{**session, "current": session["id"] == identity().session_id} for session in sessions]
