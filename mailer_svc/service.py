"""The mailer service: hears of bookings, writes to their buyers, tells when the mail is out."""

from datetime import UTC, datetime

from mailer_svc.contract import ConfirmationSent
from mailer_svc.dependencies import PostOfficeProvider
from mailer_svc.ledger import Entry
from rabbitmq.calls import BoundedRpcProxy
from rabbitmq.entrypoints import RequestId, event_handler, rpc
from rabbitmq.outbox import Envelope, envelope
from rabbitmq.times import to_wire

CONFIRMATION = "confirmation"


class BeingSent(Exception):
    """Another process is sending this mail; look again later whether it managed to."""


class MailerService:
    name = "mailer_svc"

    post_office = PostOfficeProvider()
    request_id = RequestId()
    auth = BoundedRpcProxy("auth_svc")

    @event_handler("booking_svc", "booking_confirmed")
    def send_confirmation(self, event: Envelope) -> None:
        booking, ledger = event["data"]["booking"], self.post_office.ledger
        entry = ledger.claim(booking["id"], CONFIRMATION, datetime.now(UTC))
        if entry is None:
            if ledger.is_sent(booking["id"], CONFIRMATION):
                return
            raise BeingSent(booking["id"])
        try:
            contact = self.auth.get_contact(event["data"]["user_id"])
            self.post_office.send_confirmation(entry, booking, contact)
        except Exception:
            ledger.give_back(entry)
            raise
        self._record_sent(entry)

    @rpc
    def ping(self) -> dict[str, str]:
        return self.post_office.ping()

    def _record_sent(self, entry: Entry) -> None:
        now = datetime.now(UTC)
        sent = ConfirmationSent(booking_id=entry["booking_id"], message_id=entry["message_id"], sent_at=to_wire(now))
        event = envelope(self.name, "confirmation_sent", 1, dict(sent), now, request_id=self.request_id)
        self.post_office.ledger.record_sent(entry, event, now)
