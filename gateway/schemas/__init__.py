"""What goes in and out of the API. Unknown fields of a body are refused; what is not listed here is not answered."""

from gateway.schemas.accounts import (
    AuditArguments,
    AuditPage,
    Credentials,
    EmailVerification,
    PasswordChange,
    PasswordReset,
    PasswordResetRequest,
    ProfileChange,
    Registration,
    Roles,
    Sessions,
    Tokens,
    User,
)
from gateway.schemas.bookings import Booking, BookingPage, Hold, NewBooking, NewHold
from gateway.schemas.concerts import Availability, Concert, ConcertPage, NewConcert, SeatMap
from gateway.schemas.fields import Health, PageArguments

__all__ = [
    "AuditArguments",
    "AuditPage",
    "Availability",
    "Booking",
    "BookingPage",
    "Concert",
    "ConcertPage",
    "Credentials",
    "EmailVerification",
    "Health",
    "Hold",
    "NewBooking",
    "NewConcert",
    "NewHold",
    "PageArguments",
    "PasswordChange",
    "PasswordReset",
    "PasswordResetRequest",
    "ProfileChange",
    "Registration",
    "Roles",
    "SeatMap",
    "Sessions",
    "Tokens",
    "User",
]
