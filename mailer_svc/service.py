"""The mailer service: writes to buyers what events tell, each mail once, and shows their tickets."""

import base64
from typing import Any

from auth_svc.contract import UserNotFound
from mailer_svc import requests
from mailer_svc.contract import BookingCancelled, BuyerNotFound, TicketKeys
from mailer_svc.delivery import mail_due
from mailer_svc.dependencies import PostOfficeProvider
from mailer_svc.ledger import Entry
from rabbitmq.calls import BoundedRpcProxy
from rabbitmq.entrypoints import event_handler, rpc
from rabbitmq.outbox import Envelope


class MailerService:
    name = "mailer_svc"

    post_office = PostOfficeProvider()
    auth = BoundedRpcProxy("auth_svc")

    @event_handler("booking_svc", "booking_confirmed")
    def send_confirmation(self, event: Envelope) -> None:
        self.post_office.enter(requests.confirmation(event))

    @event_handler("booking_svc", "confirmation_requested")
    def resend_confirmation(self, event: Envelope) -> None:
        self.post_office.enter(requests.resend(event))

    @event_handler("booking_svc", "booking_cancelled")
    def send_cancellation(self, event: Envelope) -> None:
        self.post_office.enter(requests.cancellation(event))

    @event_handler("booking_svc", "booking_rescheduled")
    def send_rescheduling(self, event: Envelope) -> None:
        self.post_office.enter(requests.rescheduling(event))

    @event_handler("booking_svc", "booking_reminder_due")
    def send_reminder(self, event: Envelope) -> None:
        self.post_office.enter(requests.reminder(event))

    @event_handler("auth_svc", "password_reset_requested")
    def send_password_reset(self, event: Envelope) -> None:
        self.post_office.enter(requests.password_reset(event))

    @event_handler("auth_svc", "email_verification_requested")
    def send_address_verification(self, event: Envelope) -> None:
        self.post_office.enter(requests.address_verification(event))

    @mail_due
    def deliver(self, entry: Entry) -> None:
        self.post_office.deliver(entry, self.auth.get_contact)

    @rpc
    def render_tickets(self, user_id: str, booking: dict[str, Any]) -> str:
        if booking["status"] == "cancelled":
            raise BookingCancelled(booking["id"])
        try:
            holder = self.auth.get_contact(user_id)["name"]
        except UserNotFound:
            raise BuyerNotFound(user_id) from None
        return base64.b64encode(self.post_office.tickets(booking, holder)).decode()

    @rpc
    def render_calendar(self, booking: dict[str, Any]) -> str:
        return self.post_office.calendar(booking).decode()

    @rpc
    def list_ticket_keys(self) -> TicketKeys:
        return self.post_office.ticket_keys()

    @rpc
    def find_waiting(self, confirmations: dict[str, str]) -> list[str]:
        return self.post_office.ledger.find_waiting(confirmations.items())

    @rpc
    def ping(self) -> dict[str, str]:
        return self.post_office.ping()
