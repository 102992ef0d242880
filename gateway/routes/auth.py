"""Registering, logging in and out, and what comes by mail."""

from typing import Any

from flask import Response

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


@blueprint.post("/password-reset")
@blueprint.arguments(schemas.PasswordResetRequest)
@blueprint.response(202)
@anyone(rate="accounts")
def request_password_reset(body: dict[str, Any]) -> Response:
    """Get a mail with a token to set another password, good once and for 30 minutes. The answer is always the same."""
    services().auth.request_password_reset(email=body["email"], origin=origin())
    return Response(status=202)


@blueprint.post("/password-reset/confirm")
@blueprint.arguments(schemas.PasswordReset)
@blueprint.response(204)
@anyone(rate="accounts")
def reset_password(body: dict[str, Any]) -> None:
    """Set another password by the token from the mail. All your sessions end."""
    services().auth.reset_password(**body, origin=origin())


@blueprint.post("/verify-email")
@blueprint.arguments(schemas.EmailVerification)
@blueprint.response(204)
@anyone(rate="accounts")
def verify_email(body: dict[str, Any]) -> None:
    """Show, by the token from the mail, that the address is yours."""
    services().auth.verify_email(**body, origin=origin())


def _answer(login: Login) -> dict[str, Any]:
    return {"user": login["user"], "expires_in": tokens.expires_in(), **tokens.issue(login)._asdict()}
