"""What somebody gets who asks what is stored about them."""

from marshmallow import Schema, fields

from gateway.schemas.accounts import AuditEntry, Session, User
from gateway.schemas.bookings import Booking


class OwnData(Schema):
    user = fields.Nested(User, required=True)
    sessions = fields.List(fields.Nested(Session), required=True)
    bookings = fields.List(fields.Nested(Booking), required=True, metadata={"description": "newest first"})
    security_events = fields.List(
        fields.Nested(AuditEntry), required=True, metadata={"description": "of the last 400 days, newest first"}
    )
