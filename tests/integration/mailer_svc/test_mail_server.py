"""Mails on their way to a real mail server."""

import mailbox
import smtplib
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from local import ports
from mailer_svc import mail
from mailer_svc.mail import MailServer
from tests.local_stack import LocalStack
from tests.unit.mailer_svc.test_mail import BOOKING, SENDER

# That a password goes unencrypted is what aiosmtpd warns of; here it goes from a test to itself.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning", "ignore:Session.login_data:")


def a_mail(name: str = "Ada") -> EmailMessage:
    message_id = f"<{uuid4().hex}@example.org>"
    return mail.confirmation(BOOKING, {"email": "ada@example.org", "name": name}, message_id, SENDER, datetime.now(UTC))


class Desk:
    """Takes mails of those who logged in, but none to `stranger@...`."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.farewell = "221 Bye"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p:ss/w@rd")

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("stranger@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        return self.farewell

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append(envelope)
        return "250 OK"


@pytest.fixture
def desk() -> Iterator[tuple[Desk, int]]:
    """A mail server that wants a login, and its port."""
    desk = Desk()
    port = ports.choose(["smtp"], {})["smtp"]
    controller = Controller(
        desk, "127.0.0.1", port, authenticator=desk.authenticate, auth_required=True, auth_require_tls=False
    )
    controller.start()
    yield desk, port
    controller.stop()


def test_mail_arrives_as_it_was_written(stack: LocalStack) -> None:
    message = a_mail("Ädä Söhne 🎻")
    MailServer(stack.smtp_url).send(message)
    arrived = [one for one in mailbox.Maildir(stack.mail_dir) if one["Message-ID"] == message["Message-ID"]]
    assert len(arrived) == 1
    assert arrived[0]["X-RcptTo"] == "ada@example.org"


def test_login_is_used_where_the_address_has_one(desk: tuple[Desk, int]) -> None:
    taker, port = desk
    MailServer(f"smtp://ada%40shop:p%3Ass%2Fw%40rd@127.0.0.1:{port}").send(a_mail())
    assert taker.logins == [(b"ada@shop", b"p:ss/w@rd")]
    assert [envelope.rcpt_tos for envelope in taker.taken] == [["ada@example.org"]]


def test_mail_that_the_server_does_not_take_is_told(desk: tuple[Desk, int]) -> None:
    taker, port = desk
    with pytest.raises(smtplib.SMTPException):
        MailServer(f"smtp://127.0.0.1:{port}").send(a_mail())  # it wants a login
    assert taker.taken == []


def test_address_that_the_server_does_not_know_is_told(desk: tuple[Desk, int]) -> None:
    taker, port = desk
    message = a_mail()
    message.replace_header("To", "stranger@example.org")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        MailServer(f"smtp://ada:p%3Ass%2Fw%40rd@127.0.0.1:{port}").send(message)
    assert taker.taken == []


def test_mail_that_was_taken_is_taken_however_the_server_says_goodbye(desk: tuple[Desk, int]) -> None:
    """Otherwise it would be sent again."""
    taker, port = desk
    taker.farewell = "421 too many connections"
    MailServer(f"smtp://ada:p%3Ass%2Fw%40rd@127.0.0.1:{port}").send(a_mail())
    assert len(taker.taken) == 1


def test_server_that_cannot_encrypt_gets_no_password(desk: tuple[Desk, int]) -> None:
    taker, port = desk
    with pytest.raises(smtplib.SMTPException):
        MailServer(f"smtp://ada:p%3Ass%2Fw%40rd@127.0.0.1:{port}?starttls=true").send(a_mail())
    assert (taker.logins, taker.taken) == ([], [])


def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(OSError):
            MailServer(f"smtp://127.0.0.1:{silent.getsockname()[1]}").send(a_mail())
        assert time.monotonic() - began < 2


def test_absent_server_is_told() -> None:
    with pytest.raises(OSError):
        MailServer(f"smtp://127.0.0.1:{ports.choose(['smtp'], {})['smtp']}").send(a_mail())
