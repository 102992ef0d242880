"""What booking_svc promises its callers: methods, shapes, events, refusals. Standard library only."""

from typing import Literal, NotRequired, Protocol, TypedDict


class Money(TypedDict):
    amount: int  #: minor units
    currency: str  #: ISO 4217


class TicketTypeTerms(TypedDict):
    code: str
    name: str
    price: Money
    capacity: int


class Venue(TypedDict):
    name: str
    city: str
    country: str
    timezone: str  #: IANA name
    address: NotRequired[str | None]


class ConcertSummary(TypedDict):
    """What a mail or a ticket says about the concert."""

    title: str
    starts_at: str
    doors_at: str | None
    venue: Venue


class SalesTerms(TypedDict):
    """Under what terms a concert's tickets are sold; concert_svc sets them. Times are ISO-8601 UTC."""

    concert_id: str
    version: int  #: the concert's schedule_version; older terms never replace newer ones
    status: Literal["on_sale", "cancelled"]
    sales_open_at: str | None  #: None: from the moment of publishing
    sales_close_at: str
    max_tickets_per_user: int
    ticket_types: list[TicketTypeTerms]
    concert: ConcertSummary


class Item(TypedDict):
    """*quantity* tickets of one type."""

    ticket_type: str
    quantity: int


class Ticket(TypedDict):
    number: int  #: 1, 2, ... within the booking
    ticket_type: str
    seat: str | None
    code: str  #: unguessable; what the door scans
    price: Money


class ConfirmationMail(TypedDict):
    state: Literal["queued", "sent", "failed"]
    sent_at: str | None


class Booking(TypedDict):
    id: str
    reference: str
    status: Literal["confirmed", "cancelled"]
    concert_id: str
    concert: ConcertSummary
    items: list[Item]
    tickets: list[Ticket]
    total: Money
    confirmed_at: str
    cancelled_at: str | None
    confirmation_mail: ConfirmationMail


class BookingAnswer(TypedDict):
    booking: Booking  #: as it was when it was confirmed, also on a replay
    replayed: bool


class BookingPage(TypedDict):
    items: list[Booking]
    next_cursor: str | None


class TicketTypeAvailability(TypedDict):
    code: str
    capacity: int
    available: int


class SalesWindow(TypedDict):
    open: bool
    sales_open_at: str | None
    sales_close_at: str


class Availability(TypedDict):
    """May lag; never decides."""

    ticket_types: list[TicketTypeAvailability]
    sales: SalesWindow


class BookingConfirmed(TypedDict):
    """Data of the event `booking_confirmed`."""

    booking: Booking
    user_id: str


class BookingCancelled(TypedDict):
    """Data of the event `booking_cancelled`."""

    booking_id: str
    concert_id: str
    user_id: str
    claims: list[str]


class BookingService(Protocol):
    """The RPC methods. Each may also raise `Unavailable` (rabbitmq.errors)."""

    def set_sales_terms(self, terms: SalesTerms) -> None:
        """Sell by *terms* from now on; older terms than those in force are ignored."""

    def book_tickets(self, user_id: str, idempotency_key: str, concert_id: str, items: list[Item]) -> BookingAnswer:
        """
        Book all of *items* for the user, or nothing. The same key and items get the same answer for ever.

        Raises:
            IdempotencyKeyReused, RequestInProgress, ConcertNotFound, UnknownTicketType, SoldOut, LimitReached,
            NotOnSaleYet, SalesClosed, ConcertCancelled
        """

    def get_booking(self, user_id: str, booking_id: str) -> Booking:
        """
        Raises:
            BookingNotFound: there is none, or it is somebody else's.
        """

    def list_bookings(self, user_id: str, limit: int, cursor: str | None) -> BookingPage:
        """The user's bookings, newest first."""

    def cancel_booking(self, user_id: str, booking_id: str) -> Booking:
        """
        Give the tickets back; others can book them at once.

        Raises:
            BookingNotFound, AlreadyCancelled, NotCancellable
        """

    def get_availability(self, concert_id: str) -> Availability:
        """
        Raises:
            ConcertNotFound
        """

    def ping(self) -> str:
        """Answers "pong" when the service's own servers answer."""


class Refusal(Exception):
    """The request was fine, the state says no."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class ConcertNotFound(Refusal):
    """No tickets are sold for such a concert."""


class BookingNotFound(Refusal):
    """There is no such booking."""


class UnknownTicketType(Refusal):
    """The concert has no such ticket type."""


class SoldOut(Refusal):
    """There are not enough tickets of this type left."""


class LimitReached(Refusal):
    """The limit of tickets per person is reached."""


class NotOnSaleYet(Refusal):
    """Sales have not opened yet."""


class SalesClosed(Refusal):
    """Sales have closed."""


class ConcertCancelled(Refusal):
    """The concert is cancelled."""


class AlreadyCancelled(Refusal):
    """The booking is cancelled already."""


class NotCancellable(Refusal):
    """Sales have closed; the booking can no longer be cancelled."""


class IdempotencyKeyReused(Refusal):
    """The Idempotency-Key was used with another body."""


class RequestInProgress(Refusal):
    """A request with the same Idempotency-Key is being worked on."""
