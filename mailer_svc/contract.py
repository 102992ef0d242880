"""What mailer_svc promises: documents of a booking, and the events it tells of a mail. Standard library only."""

from typing import Any, Protocol, TypedDict


class ConfirmationSent(TypedDict):
    """Data of the event `confirmation_sent`: the mail server has taken the confirmation of this booking."""

    booking_id: str
    kind: str  #: `confirmation`, or of a resent one `resend-1`, `resend-2`, ...
    message_id: str
    sent_at: str


class ConfirmationFailed(TypedDict):
    """Data of the event `confirmation_failed`: the confirmation has not gone out, and is not tried again by itself."""

    booking_id: str
    kind: str
    message_id: str
    reason: str


class MailEntered(TypedDict):
    """
    Data of the event `mail_entered`: the mail that an event of this booking asks for lies in the ledger.

    Of confirmations it is not told: the booking hears how they ended.
    """

    booking_id: str
    event_id: str  #: of the event that asked for it


class TicketKey(TypedDict):
    """A public key as a JSON Web Key (RFC 8037)."""

    kid: str
    kty: str
    crv: str
    alg: str
    use: str
    x: str


class TicketKeys(TypedDict):
    """A JSON Web Key Set: what verifies the tickets' signatures, the key in use first."""

    keys: list[TicketKey]


class MailerService(Protocol):
    """The RPC methods. Each may also raise `Unavailable` (rabbitmq.errors)."""

    def render_tickets(self, user_id: str, booking: dict[str, Any]) -> str:
        """
        The tickets of *booking* (a `Booking` of booking_svc, the user's own) as PDF in base64, a page each.

        Raises:
            BookingCancelled, BuyerNotFound
        """

    def render_calendar(self, booking: dict[str, Any]) -> str:
        """*booking* (a `Booking` of booking_svc) as iCalendar text; of a cancelled one, what removes the entry."""

    def list_ticket_keys(self) -> TicketKeys:
        """The public keys of the signatures in the tickets' QR codes."""

    def find_waiting(self, confirmations: dict[str, str]) -> list[str]:
        """
        Which of *confirmations* (booking id -> kind, as in `ConfirmationSent`) are entered and will yet be sent.

        Returns:
            the bookings' ids.
        """

    def ping(self) -> dict[str, str]:
        """The state of each of the service's own servers, by its name: "ok", or what is the matter."""


class Refusal(Exception):
    """The request was fine, the state says no."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class BookingCancelled(Refusal):
    """The booking is cancelled; its tickets are no longer good."""


class BuyerNotFound(Refusal):
    """The buyer has no account any more."""
