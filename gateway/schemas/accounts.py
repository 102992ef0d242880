"""Accounts, as they go in and out of the API."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from auth_svc.contract import ROLES
from gateway.schemas.fields import PLAIN_ADDRESS, WHOLE_CHARACTERS, PageArguments, Time, text


def new_password() -> fields.String:
    """A password to be set. auth_svc also refuses those that are guessed first, or contain the address."""
    return fields.String(
        required=True,
        validate=[validate.Length(12, 1024), WHOLE_CHARACTERS],
        metadata={"example": "correct horse battery"},
    )


def _any_password() -> fields.String:
    return fields.String(
        required=True,
        validate=[validate.Length(1, 1024), WHOLE_CHARACTERS],
        metadata={"example": "correct horse battery"},
    )


def _any_email() -> fields.String:
    return fields.String(
        required=True, validate=[validate.Length(1, 254), WHOLE_CHARACTERS], metadata={"example": "ada@example.org"}
    )


def _mailed_token() -> fields.String:
    return fields.String(
        required=True,
        validate=[validate.Length(1, 200), WHOLE_CHARACTERS],
        metadata={"example": "Zk3vS0m3th1ngUngu3ssable-by-mail_0123456789"},
    )


class Registration(Schema):
    email = fields.Email(
        required=True, validate=[validate.Length(max=254), PLAIN_ADDRESS], metadata={"example": "ada@example.org"}
    )
    password = new_password()
    name = text(100, metadata={"example": "Ada Lovelace"})


class Credentials(Schema):
    email = _any_email()
    password = _any_password()


class PasswordChange(Schema):
    current_password = _any_password()
    new_password = new_password()


class PasswordResetRequest(Schema):
    email = _any_email()


class PasswordReset(Schema):
    token = _mailed_token()
    new_password = new_password()


class EmailVerification(Schema):
    token = _mailed_token()


class ProfileChange(Schema):
    name = text(100)


class UserSearch(Schema):
    email = _any_email()


class Roles(Schema):
    roles = fields.List(
        fields.String(validate=validate.OneOf(ROLES)), required=True, validate=validate.Length(1, len(ROLES)),
        metadata={"uniqueItems": True},
    )  # fmt: skip

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        if len(set(data["roles"])) < len(data["roles"]):
            raise ValidationError("Name each role once.", "roles")


class User(Schema):
    id = fields.String(required=True)
    email = fields.String(required=True)
    email_verified = fields.Boolean(required=True)
    name = fields.String(required=True)
    roles = fields.List(fields.String(), required=True)
    created_at = Time(required=True)


class Tokens(Schema):
    user = fields.Nested(User, required=True)
    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds the access token is good for"})


class Session(Schema):
    id = fields.String(required=True)
    device = fields.String(required=True, metadata={"description": "what the client called itself"})
    address = fields.String(
        required=True, metadata={"description": "where the session was begun", "example": "192.0.2.1"}
    )
    created_at = Time(required=True)
    last_seen_at = Time(required=True)
    current = fields.Boolean(required=True, metadata={"description": "the session you are asking with"})


class Sessions(Schema):
    items = fields.List(fields.Nested(Session), required=True)


class AuditArguments(PageArguments):
    user_id = fields.String(load_default=None, validate=[validate.Length(1, 64), WHOLE_CHARACTERS])
    event = fields.String(load_default=None, validate=[validate.Length(1, 64), WHOLE_CHARACTERS])


class AuditEntry(Schema):
    id = fields.String(required=True)
    at = Time(required=True)
    event = fields.String(required=True, metadata={"example": "logged_in"})
    user_id = fields.String(required=True, allow_none=True, metadata={"description": "whose account"})
    actor_id = fields.String(
        required=True, allow_none=True, metadata={"description": "who did it, where that was shown"}
    )
    address = fields.String(required=True, allow_none=True, metadata={"example": "192.0.2.1"})
    device = fields.String(required=True, allow_none=True)
    request_id = fields.String(required=True, allow_none=True)
    details = fields.Dict(keys=fields.String(), required=True)


class AuditPage(Schema):
    items = fields.List(fields.Nested(AuditEntry), required=True)
    next_cursor = fields.String(allow_none=True, required=True)
