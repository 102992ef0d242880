"""Registering, logging in and out, and what comes by mail."""

from typing import Any

from auth_svc.contract import Login
from gateway import schemas, tokens
from gateway.access import anyone, signed_in, with_refresh_token
from gateway.blueprint import Blueprint
from gateway.origin import origin
from gateway.services import services
from gateway.sessions import identity, refresh_claims

blueprint = Blueprint("auth", __name__, url_prefix="/v1/auth", description=__doc__)


@blueprint.post("/register")
@blueprint.arguments(schemas.Registration)
@blueprint.response(201, schemas.Tokens)
@anyone(rate="accounts")
def register(body: dict[str, Any]) -> dict[str, Any]:
    """Become a customer, and be logged in. A mail asks you to verify your address."""
    return _answer(services().auth.register(**body, origin=origin()))


@blueprint.post("/login")
@blueprint.arguments(schemas.Credentials)
@blueprint.response(200, schemas.Tokens)
@anyone(rate="accounts")
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Begin a session. Wrong passwords make you wait, longer each time."""
    return _answer(services().auth.login(**body, origin=origin()))


@blueprint.post("/refresh")
@blueprint.response(200, schemas.Tokens)
@with_refresh_token()
def refresh() -> dict[str, Any]:
    """
    Exchange the refresh token (as Bearer) for new tokens. It is good once; used again, it ends the session.

    If the answer was lost, the same client gets the same session's tokens again for ten seconds.
    """
    session_id, refresh_id = refresh_claims()
    return _answer(services().auth.refresh(session_id=session_id, refresh_id=refresh_id, origin=origin()))


@blueprint.post("/logout")
@blueprint.response(204)
@signed_in()
def logout() -> None:
    """End this session at once: its tokens are worth nothing from now on."""
    services().auth.logout(user_id=identity().user_id, session_id=identity().session_id, origin=origin())


def _answer(login: Login) -> dict[str, Any]:
    return {"user": login["user"], "expires_in": tokens.expires_in(), **tokens.issue(login)._asdict()}
