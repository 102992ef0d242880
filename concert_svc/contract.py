"""What concert_svc promises its callers: methods, shapes, events, refusals. Standard library only."""

from typing import Any, Literal, NotRequired, Protocol, TypedDict


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


class ConcertChange(TypedDict, total=False):
    """What an organiser changes: the fields that are there. *ticket_types* are all that there are from now on."""

    title: str
    description: str | None
    performers: list[str]
    venue: Venue
    starts_at: str
    doors_at: str | None
    sales_open_at: str | None
    max_tickets_per_user: int
    ticket_types: list[NewTicketType]


class ConcertSearch(TypedDict, total=False):
    """What somebody looks for among the concerts on sale; prices are in minor units."""

    text: str  #: every word of it is in the title, among the performers, in the description, or the venue's name
    city: str  #: whatever its case and accents
    starts_from: str
    starts_before: str
    lowest_price: int  #: some ticket costs so much, or more
    highest_price: int
    available: bool  #: only concerts that had tickets left a moment ago
    sort: Literal["date", "relevance"]


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
    finished_at: str | None
    cancelled_at: str | None


class Change(TypedDict):
    """A line of a concert's audit trail: who changed what of it, when, by which request."""

    version: int  #: the schedule_version that it led to
    action: Literal["created", "changed", "published", "cancelled", "deleted"]
    at: str
    by: str  #: a user's id
    request_id: str | None
    fields: dict[str, dict[str, Any]]  #: field -> {"was", "is"}


class ChangePage(TypedDict):
    items: list[Change]
    next_cursor: str | None


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
            StartsTooSoon, InvalidConcert
        """

    def update_concert(self, organiser_id: str, concert_id: str, changes: ConcertChange) -> Concert:
        """
        Change the organiser's own draft, or one on sale; what is the same already changes nothing.

        When the start is moved and the doors are not mentioned, the doors keep their distance to it.

        Raises:
            ConcertNotFound, WrongState, StartsTooSoon, InvalidConcert, CapacityBelowSold, SeatsTaken
        """

    def delete_concert(self, organiser_id: str, concert_id: str) -> None:
        """
        Delete the organiser's own draft.

        Raises:
            ConcertNotFound, WrongState
        """

    def publish_concert(self, organiser_id: str, concert_id: str) -> Concert:
        """
        Put the organiser's own draft on sale; repeating it changes nothing.

        Raises:
            ConcertNotFound, WrongState, StartsTooSoon
        """

    def cancel_concert(self, organiser_id: str, concert_id: str) -> Concert:
        """
        Call the organiser's own concert off, until it is over: nothing more is sold from now on, and what is sold
        is cancelled within minutes. Repeating it changes nothing.

        Raises:
            ConcertNotFound, WrongState
        """

    def get_concert(self, concert_id: str, viewer_id: str | None) -> Concert:
        """
        Raises:
            ConcertNotFound: there is none, or it is somebody else's draft.
        """

    def get_own_concert(self, organiser_id: str, concert_id: str) -> Concert:
        """
        Raises:
            ConcertNotFound: there is none, or it is somebody else's.
        """

    def search_concerts(self, search: ConcertSearch, limit: int, cursor: str | None) -> ConcertPage:
        """
        Published concerts that fit: the next first, or the most relevant to the text.

        With `available` a page may have fewer than *limit* while there are more; `next_cursor` tells.
        """

    def list_own_concerts(self, organiser_id: str, limit: int, cursor: str | None) -> ConcertPage:
        """The organiser's concerts in whatever state, the last start first."""

    def list_changes(self, organiser_id: str, concert_id: str, limit: int, cursor: str | None) -> ChangePage:
        """
        The audit trail of the organiser's own concert, newest first.

        Raises:
            ConcertNotFound
        """

    def ping(self) -> dict[str, str]:
        """The state of each of the service's own servers, by its name: "ok", or what is the matter."""


class Refusal(Exception):
    """The request was fine, the state says no."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class ConcertNotFound(Refusal):
    """There is no such concert."""


class WrongState(Refusal):
    """The concert's state does not allow this."""  # its argument is the state


class InvalidConcert(Refusal):
    """That would not be a concert that can be sold."""  # its arguments are a field, and what is wrong with it


class CapacityBelowSold(Refusal):
    """More tickets of this type are sold or held than there would be."""  # its arguments: the type, the number


class SeatsTaken(Refusal):
    """Seats that the change would take away are sold or held."""  # its arguments are their names


class StartsTooSoon(Refusal):
    """Sales close 10 seconds before the concert; by then it could not be sold."""
