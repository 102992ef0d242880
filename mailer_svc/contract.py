"""What mailer_svc promises: the event it tells when a mail has gone out. Standard library only."""

from typing import Protocol, TypedDict


class ConfirmationSent(TypedDict):
    """Data of the event `confirmation_sent`: the mail server has taken the confirmation of this booking."""

    booking_id: str
    message_id: str
    sent_at: str


class MailerService(Protocol):
    """The RPC methods."""

    def ping(self) -> dict[str, str]:
        """The state of each of the service's own servers, by its name: "ok", or what is the matter."""


class Refusal(Exception):
    """The request was fine, the state says no."""
