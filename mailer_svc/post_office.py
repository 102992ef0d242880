"""Mails on their way: from the ledger's entry to the mail server, and what becomes of each."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import policy
from typing import Any, TypeVar

from eventlet import Timeout, sleep, tpool
from eventlet.semaphore import Semaphore
from pymongo.errors import PyMongoError

from auth_svc.contract import Contact, UserNotFound
from mailer_svc import metrics
from mailer_svc.contract import ConfirmationFailed, ConfirmationSent, MailEntered, TicketKeys
from mailer_svc.ledger import Entry, Ledger, Request
from mailer_svc.mail import Letter, Writer
from mailer_svc.mail_server import MailServer, NotTaken, Refused, TooSlow
from mailer_svc.requests import is_confirmation
from rabbitmq.errors import AlreadyHandled, Unavailable
from rabbitmq.logs import fields
from rabbitmq.outbox import Envelope, envelope
from rabbitmq.times import to_wire

log = logging.getLogger(__name__)

T = TypeVar("T")

SERVICE = "mailer_svc"
#: Seconds for the whole conversation about one mail; a server may also be slow a byte at a time.
LONGEST = 150
#: A mail whose buyer's address cannot be asked for is looked at again after so long.
AUTH_AWAY = timedelta(seconds=5)
#: Seconds for which a mail that was taken is told to a ledger that does not answer, before it may go out again.
INSISTING = 30


class PostOffice:
    """Ledger, writer and mail server; *places* is how many mails may be under way at once."""

    def __init__(self, ledger: Ledger, writer: Writer, server: MailServer, places: int) -> None:
        self.ledger = ledger
        self.places = places
        self._writer = writer
        self._server = server
        # Python computes one thing at a time anyway; and the libraries' locks are made for one kind of thread.
        self._desk = Semaphore(1)
        self._news = threading.Event()

    def enter(self, wanted: Request) -> None:
        """
        Enter the mail in the ledger.

        Raises:
            AlreadyHandled: it is there. That, or how it has ended, is told once more: it may have been lost.
        """
        entered = _entered(wanted)
        entry, is_new = self.ledger.enter(wanted, self.ledger.now(), entered)
        self.wake()
        if not is_new:
            event = entered or _outcome(entry)
            if event is not None:
                self.ledger.tell_again(entry, event)
            raise AlreadyHandled

    def wake(self) -> None:
        """There may be something to send, or a place to send it from."""
        self._news.set()

    def wait(self, seconds: float) -> None:
        """Until somebody wakes us, or so long."""
        self._news.wait(seconds)
        self._news.clear()

    def deliver(self, entry: Entry, contact_of: Callable[[str], Contact]) -> None:
        """Send the mail that was claimed, and say in the ledger what became of it."""
        now = self.ledger.now()
        first = self.ledger.waits_until(entry, now)
        if first is not None:
            self.ledger.put_off(entry, first)
            return
        try:
            if now >= entry["give_up_at"]:
                raise Refused(entry["reason"] or "It is too late for this mail.")
            contact = contact_of(entry["user_id"])
            with Timeout(LONGEST, TooSlow("The mail server took too long.")):
                self._send(entry, contact)
        except Unavailable:
            self.ledger.put_off(entry, now + AUTH_AWAY)
        except UserNotFound:
            self._fail(entry, "There is no such account any more.")
        except Refused as refusal:
            self._fail(entry, str(refusal))
        except NotTaken as error:
            self._try_again(entry, str(error), error.slow)
        except Exception as error:  # a fault of ours, or of whom we asked: no reason to lose the mail
            log.exception("mail not written or sent", extra=_named(entry))
            self._try_again(entry, f"{type(error).__name__}: our fault", slow=False)
        else:
            self._record_sent(entry)

    def tickets(self, booking: dict[str, Any], holder: str) -> bytes:
        return self._compute(self._writer.tickets, booking, holder)

    def calendar(self, booking: dict[str, Any]) -> bytes:
        return self._compute(self._writer.calendar, booking, datetime.now(UTC))

    def ticket_keys(self) -> TicketKeys:
        return self._writer.signer.public_keys()

    def ping(self) -> dict[str, str]:
        """The state of the ledger. (A silent mail server delays mails; it stops nobody.)"""
        return self.ledger.ping()

    def _send(self, entry: Entry, contact: Contact) -> None:
        letter = Letter(entry["document"], entry["data"], entry["as_of"], entry["message_id"])
        written = self._compute(self._write, letter, contact)
        self._server.send(self._writer.address, contact["email"], written)

    def _write(self, letter: Letter, contact: Contact) -> bytes:
        return self._writer.write(letter, contact, datetime.now(UTC)).as_bytes(policy=policy.SMTP)

    def _compute(self, what: Callable[..., T], *args: Any) -> T:
        """The result of *what*, computed in a real thread, so that the service goes on meanwhile."""
        with self._desk:
            result: T = tpool.execute(what, *args)
        return result

    def _record_sent(self, entry: Entry) -> None:
        log.info("mail sent", extra=_named(entry))
        metrics.sent.labels(entry["document"]).inc()
        deadline = time.monotonic() + INSISTING
        while True:
            try:
                now = self.ledger.now()
                event = _outcome({**entry, "state": "sent", "sent_at": now})
                self.ledger.record_sent(entry, event, now)
                return
            except PyMongoError:  # who claims it next would send a copy
                if time.monotonic() > deadline:
                    raise
                sleep(0.5)

    def _fail(self, entry: Entry, reason: str) -> None:
        log.error("mail failed", extra=_named(entry, reason))
        metrics.failed.labels(entry["document"]).inc()
        event = _outcome({**entry, "state": "failed", "reason": reason})
        self.ledger.record_failed(entry, reason, event, self.ledger.now())

    def _try_again(self, entry: Entry, reason: str, slow: bool) -> None:
        if not self.ledger.try_again(entry, reason, self.ledger.now(), slow):
            self._fail(entry, reason)
            return
        log.warning("mail not taken", extra=_named(entry, reason))
        metrics.retried.labels(entry["document"]).inc()


def _named(entry: Entry, why: str | None = None) -> dict[str, Any]:
    """What a line of the log says of a mail: never what is in it."""
    return fields(mail=entry["_id"], message_id=entry["message_id"], attempt=entry["attempts"], why=why)


def _entered(wanted: Request) -> Envelope | None:
    """The event that tells whoever asked that the mail will go out; of confirmations it is told how they ended."""
    if wanted.booking_id is None or wanted.event_id is None or is_confirmation(wanted.kind):
        return None
    told = MailEntered(booking_id=wanted.booking_id, event_id=wanted.event_id)
    return envelope(SERVICE, "mail_entered", 1, dict(told), datetime.now(UTC), request_id=wanted.request_id)


def _outcome(entry: Entry) -> Envelope | None:
    """The event that tells how a confirmation ended; None for other mails, and while it has not ended."""
    if entry["state"] not in ("sent", "failed") or not is_confirmation(entry["kind"]):
        return None
    booking_id, kind, message_id = entry["booking_id"], entry["kind"], entry["message_id"]
    told: ConfirmationSent | ConfirmationFailed
    if entry["state"] == "sent":
        name, sent_at = "confirmation_sent", to_wire(entry["sent_at"])
        told = ConfirmationSent(booking_id=booking_id, kind=kind, message_id=message_id, sent_at=sent_at)
    else:
        name, reason = "confirmation_failed", entry["reason"]
        told = ConfirmationFailed(booking_id=booking_id, kind=kind, message_id=message_id, reason=reason)
    return envelope(SERVICE, name, 1, dict(told), datetime.now(UTC), request_id=entry["request_id"])
