"""What concert_svc promises its callers: methods, shapes, events, refusals. Standard library only."""

from typing import Literal, NotRequired, Protocol, TypedDict


class Money(TypedDict):
    amount: int  #: minor units
    currency: str  #: ISO 4217


class SeatingBlock(TypedDict):
    """Rows of one section, the best first, with the seats 1 to *seats_per_row* each. A seat is `section-row-number`."""

    section: str
    rows: list[str]
    seats_per_row: int


class TicketType(TypedDict):
    code: str
    name: str
    price: Money
    capacity: int  #: tickets that can be sold; of reserved seats those that are not blocked
    admission: Literal["general", "reserved"]
    seating: NotRequired[list[SeatingBlock]]  #: this and what follows: of reserved seats
    accessible_seats: NotRequired[list[str]]
    blocked_seats: NotRequired[list[str]]


class Venue(TypedDict):
    name: str
    city: str
    country: str
    timezone: str  #: IANA name
    address: NotRequired[str | None]


class NewTicketType(TypedDict):
    """General admission has a capacity, reserved seats have seating."""

    code: str
    name: str
    price: Money
    capacity: NotRequired[int]
    seating: NotRequired[list[SeatingBlock]]
    accessible_seats: NotRequired[list[str]]
    blocked_seats: NotRequired[list[str]]


class NewConcert(TypedDict):
    """What an organiser says of a concert. Times are ISO-8601 UTC."""

    title: str
    description: NotRequired[str | None]
    performers: list[str]
    venue: Venue
    starts_at: str
    doors_at: NotRequired[str | None]
    sales_open_at: NotRequired[str | None]
    max_tickets_per_user: NotRequired[int]
    ticket_types: list[NewTicketType]


class Concert(TypedDict):
    id: str
    organiser_id: str
    status: Literal["draft", "published", "closed", "finished", "cancelled"]
    title: str
    description: str | None
    performers: list[str]
    venue: Venue
    starts_at: str
    doors_at: str | None
    sales_open_at: str | None  #: None: from the moment of publishing
    sales_close_at: str
    max_tickets_per_user: int
    ticket_types: list[TicketType]
    schedule_version: int
    created_at: str
    published_at: str | None
    closed_at: str | None


class ConcertPage(TypedDict):
    items: list[Concert]
    next_cursor: str | None


class ConcertStarting(TypedDict):
    """Data of the delayed event `concert_starting`: a hint that sales close now, checked against MongoDB."""

    concert_id: str
    schedule_version: int


class ConcertFinished(TypedDict):
    """Data of the delayed event `concert_finished`: a hint like `concert_starting`, that the concert is over."""

    concert_id: str
    schedule_version: int


class Schedule(TypedDict):
    """When and where."""

    title: str
    starts_at: str
    doors_at: str | None
    venue: Venue


class ConcertRescheduled(TypedDict):
    """Data of the event `concert_rescheduled`: a concert that is on sale has another time or place."""

    concert_id: str
    schedule_version: int
    was: Schedule
    concert: Schedule


class ConcertCancelled(TypedDict):
    """Data of the event `concert_cancelled`."""

    concert_id: str
    schedule_version: int


class ConcertReminderDue(TypedDict):
    """Data of the delayed event `concert_reminder_due`: it starts in a day, unless the schedule is another by then."""

    concert_id: str
    schedule_version: int


class ConcertService(Protocol):
    """The RPC methods. Each may also raise `Unavailable` (rabbitmq.errors)."""

    def create_concert(self, organiser_id: str, concert: NewConcert) -> Concert:
        """
        A new draft.

        Raises:
            StartsTooSoon
        """

    def publish_concert(self, organiser_id: str, concert_id: str) -> Concert:
        """
        Put the organiser's own draft on sale; repeating it changes nothing.

        Raises:
            ConcertNotFound, WrongState, StartsTooSoon
        """

    def get_concert(self, concert_id: str, viewer_id: str | None) -> Concert:
        """
        Raises:
            ConcertNotFound: there is none, or it is somebody else's draft.
        """

    def list_concerts(self, limit: int, cursor: str | None) -> ConcertPage:
        """Published concerts, the next first."""

    def ping(self) -> dict[str, str]:
        """The state of each of the service's own servers, by its name: "ok", or what is the matter."""


class Refusal(Exception):
    """The request was fine, the state says no."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class ConcertNotFound(Refusal):
    """There is no such concert."""


class WrongState(Refusal):
    """The concert's state does not allow this."""


class StartsTooSoon(Refusal):
    """Sales close 10 seconds before the concert; by then it could not be sold."""
