"""What goes in and out of the API. Unknown fields of a body are refused; what is not listed here is not answered."""

from gateway.schemas.accounts import Credentials, ProfileChange, Registration, Roles, Tokens, User
from gateway.schemas.bookings import Booking, BookingPage, Hold, NewBooking, NewHold
from gateway.schemas.concerts import Availability, Concert, ConcertPage, NewConcert, SeatMap
from gateway.schemas.fields import Health, PageArguments

__all__ = [
    "Availability",
    "Booking",
    "BookingPage",
    "Concert",
    "ConcertPage",
    "Credentials",
    "Health",
    "Hold",
    "NewBooking",
    "NewConcert",
    "NewHold",
    "PageArguments",
    "ProfileChange",
    "Registration",
    "Roles",
    "SeatMap",
    "Tokens",
    "User",
]
