"""What booking_svc promises its callers: methods, shapes, events, refusals. Standard library only."""

from typing import Literal, NotRequired, Protocol, TypedDict


class Money(TypedDict):
    amount: int  #: minor units
    currency: str  #: ISO 4217


class SeatingBlock(TypedDict):
    """Rows of one section, the best first, with the seats 1 to *seats_per_row* each. A seat is `section-row-number`."""

    section: str
    rows: list[str]
    seats_per_row: int


class TicketTypeTerms(TypedDict):
    code: str
    name: str
    price: Money
    capacity: int  #: tickets that can be sold; of a reserved type the seats that are not blocked
    seating: NotRequired[list[SeatingBlock]]  #: makes the type a reserved one; blocks are only ever added at its end
    accessible_seats: NotRequired[list[str]]  #: given by name; as the best available only when there are no others
    blocked_seats: NotRequired[list[str]]  #: never sold


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
    """Tickets of one type: *quantity* of them (of a reserved type the best adjacent ones left), or *seats* by name."""

    ticket_type: str
    quantity: NotRequired[int]
    seats: NotRequired[list[str]]


class HeldTicket(TypedDict):
    number: int  #: 1, 2, ... within the hold
    ticket_type: str
    name: str  #: the ticket type's
    seat: str | None
    price: Money


class Hold(TypedDict):
    """Tickets kept for one buyer until *expires_at*, by the inventory's clock."""

    id: str
    concert_id: str
    items: list[Item]
    tickets: list[HeldTicket]
    total: Money
    expires_at: str


class Ticket(TypedDict):
    number: int  #: 1, 2, ... within the booking
    ticket_type: str
    name: NotRequired[str]  #: the ticket type's when it was booked; bookings of old do not say it
    seat: str | None
    code: str  #: unguessable; what the door scans
    price: Money


class ConfirmationMail(TypedDict):
    state: Literal["queued", "sent", "failed"]
    sent_at: str | None
    reason: str | None  #: why it failed


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


class SoldBooking(Booking):
    """A booking as the concert's organiser sees it."""

    user_id: str


class SoldBookingPage(TypedDict):
    items: list[SoldBooking]
    next_cursor: str | None


class TicketTypeSales(TypedDict):
    ticket_type: str
    tickets: int
    revenue: Money
    cancelled: int  #: tickets that were bought and given back


class HourSales(TypedDict):
    """What was sold within an hour and is not cancelled."""

    hour: str  #: its beginning
    ticket_type: str
    tickets: int
    revenue: Money


class Sales(TypedDict):
    """What was sold of a concert; ticket types of which nothing was are left out."""

    ticket_types: list[TicketTypeSales]
    hours: list[HourSales]


class Rollout(TypedDict):
    """How far a change of a concert has been brought to its bookings."""

    concert_id: str
    kind: Literal["cancellation", "reschedule", "reminder"]
    version: int  #: the concert's schedule_version
    state: Literal["running", "done", "stale"]  #: stale: another version of the concert has overtaken it
    total: int  #: confirmed bookings when it began
    looked_at: int
    changed: int  #: at least; what a process was killed over is not counted
    begun_at: str
    finished_at: str | None


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


class SeatedType(TypedDict):
    """A reserved ticket type's seats: *states* has a letter for each, in the order of *seating*: see `SEAT_STATES`."""

    code: str
    seating: list[SeatingBlock]
    states: str


#: What a letter of `SeatedType.states` stands for. While a hold is being booked its seats may be either held or booked.
SEAT_STATES = {"a": "available", "h": "held", "b": "booked", "x": "blocked"}


class SeatMap(TypedDict):
    """May lag; never decides. *tag* changes whenever a seat's state does."""

    tag: str
    ticket_types: list[SeatedType] | None  #: None: nothing has changed since the tag that the caller knows


class BookingConfirmed(TypedDict):
    """Data of the event `booking_confirmed`."""

    booking: Booking
    user_id: str
    sales_close_at: str | None  #: until then it can be cancelled; bookings of old do not say it


class ConfirmationRequested(TypedDict):
    """Data of the event `confirmation_requested`: the buyer wants the confirmation again (the *number*th time)."""

    booking: Booking
    user_id: str
    number: int
    sales_close_at: str | None  #: until then it can be cancelled


class BookingCancelled(TypedDict):
    """Data of the event `booking_cancelled`."""

    booking_id: str
    concert_id: str
    user_id: str
    claims: list[str]
    hold_id: str | None
    booking: NotRequired[Booking]  #: as its buyer sees it from now on
    reason: NotRequired[Literal["buyer", "concert_cancelled"]]


class BookingRescheduled(TypedDict):
    """Data of the event `booking_rescheduled`: the concert is at another time or place than the buyer was told."""

    booking: Booking  #: its `concert` says when and where now
    user_id: str
    was: ConcertSummary


class BookingReminderDue(TypedDict):
    """Data of the event `booking_reminder_due`: the concert starts in a day."""

    booking: Booking
    user_id: str


class BookingService(Protocol):
    """The RPC methods. Each may also raise `Unavailable` (rabbitmq.errors)."""

    def set_sales_terms(self, terms: SalesTerms) -> None:
        """
        Sell by *terms* from now on; older terms than those in force are ignored. Of a cancelled concert the bookings
        are cancelled, in the background.

        Raises:
            CapacityBelowSold, TicketsUnavailable: they take away what is sold or held; those in force stay.
        """

    def hold_tickets(self, user_id: str, idempotency_key: str, concert_id: str, items: list[Item]) -> Hold:
        """
        Keep all of *items* for the user, or nothing. The same key and items are the same hold while it lasts;
        afterwards they make another.

        Raises:
            IdempotencyKeyReused, ConcertNotFound, UnknownTicketType, UnknownSeat, SoldOut, TicketsUnavailable,
            LimitReached, NotOnSaleYet, SalesClosed, ConcertCancelled
        """

    def get_hold(self, user_id: str, hold_id: str) -> Hold:
        """
        Raises:
            HoldNotFound, HoldExpired, ConcertNotFound
        """

    def extend_hold(self, user_id: str, hold_id: str) -> Hold:
        """
        Keep it for ten minutes from now, at most thirty in all, and not past the close of sales.

        Raises:
            HoldNotFound, HoldExpired, RequestInProgress, ConcertNotFound, NotOnSaleYet, SalesClosed, ConcertCancelled
        """

    def release_hold(self, user_id: str, hold_id: str) -> None:
        """
        Give the tickets back before the hold expires; of a hold that is gone nothing is left to do.

        Raises:
            HoldNotFound, RequestInProgress, ConcertNotFound
        """

    def book_tickets(self, user_id: str, idempotency_key: str, concert_id: str, items: list[Item]) -> BookingAnswer:
        """
        Book all of *items* for the user, or nothing. The same key and items get the same answer for ever.

        Raises:
            IdempotencyKeyReused, RequestInProgress, ConcertNotFound, UnknownTicketType, UnknownSeat, SoldOut,
            TicketsUnavailable, LimitReached, NotOnSaleYet, SalesClosed, ConcertCancelled
        """

    def book_hold(self, user_id: str, idempotency_key: str, hold_id: str) -> BookingAnswer:
        """
        Book what the user holds, at the hold's prices. The same key and hold get the same answer for ever.

        Raises:
            IdempotencyKeyReused, RequestInProgress, HoldNotFound, HoldExpired, ConcertNotFound, NotOnSaleYet,
            SalesClosed, ConcertCancelled
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

    def resend_confirmation(self, user_id: str, booking_id: str) -> Booking:
        """
        Send the confirmation again, to the buyer's address as it is now. One that is on its way already is enough.

        Raises:
            BookingNotFound, AlreadyCancelled, ResentTooOften
        """

    def get_availability(self, concert_id: str) -> Availability:
        """
        Raises:
            ConcertNotFound
        """

    def find_available(self, concert_ids: list[str]) -> list[str]:
        """Which of the concerts have tickets left, or may have. It may lag, and decides nothing."""

    def list_concert_bookings(self, concert_id: str, limit: int, cursor: str | None) -> SoldBookingPage:
        """The concert's bookings, newest first. Whether the caller may see them is the caller's to know."""

    def get_sales(self, concert_id: str) -> Sales:
        """What was sold of the concert, for those who may see it."""

    def list_rollouts(self, concert_id: str | None = None) -> list[Rollout]:
        """How far changes of concerts have been brought to their bookings: the hundred that were begun last."""

    def get_seats(self, concert_id: str, known: str | None) -> SeatMap:
        """
        The state of every seat; just the tag when it is *known*.

        Raises:
            ConcertNotFound
        """

    def ping(self) -> dict[str, str]:
        """The state of each of the service's own servers, by its name: "ok", or what is the matter."""


#: A function of the inventory's Redis; its key is a concert's `{concert_id}`, its arguments a ticket type and how many.
#: It answers with the refusal that `hold_tickets` with a new key would meet at that moment, and its argument, if it is
#: `concert_cancelled`, `not_on_sale_yet`, `sales_closed` or `sold_out`. Any other answer: only `hold_tickets` can tell.
REFUSE_HOLD = "refuse_hold"
#: What the gateway's user of that Redis may do: call it, and read what it reads.
GATEWAY_MAY = (
    *("resetchannels", "+fcall_ro", "+time", "+info", "%R~{*}"),
    *("(+hget +hmget %R~{*}:terms)", "(+get %R~{*}:counting)", "(+exists %R~{*}:*)", "(+hlen %R~{*}:holds)"),
    *("(+zcard +zcount %R~{*}:expiries)", "(+bitcount %R~{*}:taken:*)"),
)


class Refusal(Exception):
    """The request was fine, the state says no."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class ConcertNotFound(Refusal):
    """No tickets are sold for such a concert."""


class BookingNotFound(Refusal):
    """There is no such booking."""


class HoldNotFound(Refusal):
    """There is no such hold."""


class UnknownTicketType(Refusal):
    """The concert has no such ticket type."""


class UnknownSeat(Refusal):
    """There is no such seat."""  # its arguments are what was taken for their names


class SoldOut(Refusal):
    """There are not enough tickets of this type left."""


class TicketsUnavailable(Refusal):
    """Some of these seats are not available."""  # its arguments are their names


class CapacityBelowSold(Refusal):
    """More tickets of this type are sold or held than there would be."""  # its arguments: the type, the number


class HoldExpired(Refusal):
    """The hold is gone: it has expired, or was released, booked or lost. Its tickets are no longer kept."""


class LimitReached(Refusal):
    """The limit of tickets per person is reached."""  # its arguments: the limit, how many the buyer has


class NotOnSaleYet(Refusal):
    """Sales have not opened yet."""


class SalesClosed(Refusal):
    """Sales have closed."""


class ConcertCancelled(Refusal):
    """The concert is cancelled."""


class AlreadyCancelled(Refusal):
    """The booking is cancelled already."""


class ResentTooOften(Refusal):
    """The confirmation was sent a moment ago, or five times in a day: look for it, in the spam folder too."""


class NotCancellable(Refusal):
    """Sales have closed; the booking can no longer be cancelled."""


class IdempotencyKeyReused(Refusal):
    """The Idempotency-Key was used with another body."""


class RequestInProgress(Refusal):
    """This request, or a booking of this hold, is being worked on."""
