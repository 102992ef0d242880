"""What mailer_svc needs from Nameko and the servers."""

from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any

from nameko.extensions import DependencyProvider
from pymongo.database import Database

from auth_svc.contract import Contact
from booking_svc.contract import Booking
from mailer_svc import mail
from mailer_svc.ledger import Entry, Ledger
from mailer_svc.mail import MailServer
from rabbitmq import database
from rabbitmq.database import Document


class PostOffice:
    """Ledger and mail server, opened once per process."""

    def __init__(self, mongo: Database[Document], server: MailServer, sender: str) -> None:
        self._mongo = mongo
        self._server = server
        self._sender = sender
        self.ledger = Ledger(mongo, domain=parseaddr(sender)[1].partition("@")[2])

    def send_confirmation(self, entry: Entry, booking: Booking, contact: Contact) -> None:
        """
        Raises:
            smtplib.SMTPException, OSError: the mail server has not taken it, or nobody knows.
        """
        self._server.send(mail.confirmation(booking, contact, entry["message_id"], self._sender, datetime.now(UTC)))

    def ping(self) -> dict[str, str]:
        """The state of the ledger. (A silent mail server delays mails; it stops nobody.)"""
        return {"mongodb": database.state(self._mongo)}


class PostOfficeProvider(DependencyProvider):
    """Gives the service its ledger and mail server."""

    def setup(self) -> None:
        config = self.container.config
        self._post_office = PostOffice(
            database.connect(config["MONGO_URI"], "mailer_svc"), MailServer(config["SMTP_URL"]), config["MAIL_FROM"]
        )

    def get_dependency(self, worker_ctx: Any) -> PostOffice:
        return self._post_office
