"""Accounts, as they go in and out of the API."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from auth_svc.contract import ROLES
from gateway.schemas.fields import PLAIN_ADDRESS, WHOLE_CHARACTERS, Time, text


class Registration(Schema):
    email = fields.Email(
        required=True, validate=[validate.Length(max=254), PLAIN_ADDRESS], metadata={"example": "ada@example.org"}
    )
    password = fields.String(required=True, validate=[validate.Length(12, 1024), WHOLE_CHARACTERS])
    name = text(100, metadata={"example": "Ada Lovelace"})


class Credentials(Schema):
    email = fields.String(required=True, validate=[validate.Length(1, 254), WHOLE_CHARACTERS])
    password = fields.String(required=True, validate=[validate.Length(1, 1024), WHOLE_CHARACTERS])


class ProfileChange(Schema):
    name = text(100)


class Roles(Schema):
    roles = fields.List(
        fields.String(validate=validate.OneOf(ROLES)), required=True, validate=validate.Length(1, len(ROLES))
    )

    @validates_schema
    def check(self, data: dict[str, Any], **_: Any) -> None:
        if len(set(data["roles"])) < len(data["roles"]):
            raise ValidationError("Name each role once.", "roles")


class User(Schema):
    id = fields.String(required=True)
    email = fields.String(required=True)
    name = fields.String(required=True)
    roles = fields.List(fields.String(), required=True)
    created_at = Time(required=True)


class Tokens(Schema):
    user = fields.Nested(User, required=True)
    access_token = fields.String(required=True)
    refresh_token = fields.String(required=True)
    expires_in = fields.Integer(required=True, metadata={"description": "seconds the access token is good for"})
