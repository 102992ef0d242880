"""What mailer_svc needs from Nameko and the servers."""

from datetime import timedelta
from typing import Any

from nameko.exceptions import deserialize_to_instance
from nameko.extensions import DependencyProvider, SharedExtension

from auth_svc.contract import UserNotFound
from mailer_svc.ledger import Ledger
from mailer_svc.mail import Writer
from mailer_svc.mail_server import MailServer
from mailer_svc.post_office import PostOffice
from mailer_svc.signatures import TicketSigner
from rabbitmq import database

#: auth_svc answers with it.
deserialize_to_instance(UserNotFound)


class SharedPostOffice(SharedExtension):
    """The post office, opened once per process for those who enter mails and those who send them."""

    def setup(self) -> None:
        config = self.container.config
        signer = TicketSigner(config["TICKET_SIGNING_KEY"], config["TICKET_RETIRED_KEYS"])
        lasts = timedelta(seconds=float(config["CONCERT_LASTS"]))
        writer = Writer(config["MAIL_FROM"], signer, config["SHOP_URL"], lasts)
        server = MailServer(config["SMTP_URL"])
        mongo = database.connect(config["MONGO_URI"], "mailer_svc")
        first_pause = timedelta(seconds=float(config["MAIL_RETRY_SECONDS"]))
        ledger = Ledger(mongo, writer.address.partition("@")[2], first_pause)
        self.post_office = PostOffice(ledger, writer, server, int(config["MAIL_CONNECTIONS"]))


class PostOfficeProvider(DependencyProvider):
    """Gives the service its post office."""

    shared = SharedPostOffice()

    def get_dependency(self, worker_ctx: Any) -> PostOffice:
        return self.shared.post_office
