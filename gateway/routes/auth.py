"""Registering, logging in and out."""

from typing import Any

from flask import current_app, request

from auth_svc.contract import Login
from gateway import schemas, sessions
from gateway.blueprint import Blueprint
from gateway.services import services

blueprint = Blueprint("auth", __name__, url_prefix="/v1/auth", description=__doc__)


@blueprint.post("/register")
@blueprint.arguments(schemas.Registration)
@blueprint.response(201, schemas.Tokens)
def register(body: dict[str, Any]) -> dict[str, Any]:
    """Become a customer, and be logged in."""
    return _answer(services().auth.register(**body, device=_device()))


@blueprint.post("/login")
@blueprint.arguments(schemas.Credentials)
@blueprint.response(200, schemas.Tokens)
def login(body: dict[str, Any]) -> dict[str, Any]:
    """Begin a session."""
    return _answer(services().auth.login(**body, device=_device()))


@blueprint.post("/refresh")
@blueprint.doc(security=[{"bearer": []}])
@blueprint.response(200, schemas.Tokens)
def refresh() -> dict[str, Any]:
    """Exchange the refresh token (as Bearer) for new tokens. It is good once; used twice, it ends the session."""
    session_id, refresh_id = sessions.refresh_claims()
    return _answer(services().auth.refresh(session_id=session_id, refresh_id=refresh_id))


@blueprint.post("/logout")
@blueprint.doc(security=[{"bearer": []}])
@blueprint.response(204)
@sessions.signed_in()
def logout() -> None:
    """End this session at once: its tokens are worth nothing from now on."""
    services().auth.logout(session_id=sessions.identity().session_id)


def _answer(login: Login) -> dict[str, Any]:
    expires_in = int(current_app.config["JWT_ACCESS_TOKEN_EXPIRES"].total_seconds())
    return {"user": login["user"], "expires_in": expires_in, **sessions.tokens(login)._asdict()}


def _device() -> str:
    return request.headers.get("User-Agent", "unknown")[:200]
