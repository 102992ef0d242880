"""Mails on their way to a real mail server, and what its answers mean."""

import mailbox
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from email import policy
from pathlib import Path
from uuid import uuid4

import pytest

from mailer_svc import mail_server
from mailer_svc.mail_server import MailServer, NotTaken, Refused, TooSlow
from tests.local_stack import LocalStack, free_port
from tests.mail_sink import MailSink, certificate
from tests.unit.mailer_svc.letters import ADA, NOW, WRITER, letter

# That a password goes unencrypted is what aiosmtpd warns of; here it goes from a test to itself.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning", "ignore:Session.login_data:")

PASSWORD = "p:ss/w@rd"
LOGIN = "ada%40shop:p%3Ass%2Fw%40rd"


def send(url: str, recipient: str = "ada@example.org") -> str:
    """Send a mail; gives its Message-ID."""
    message_id = f"<{uuid4().hex}@example.org>"
    mail = WRITER.write(letter()._replace(message_id=message_id), {**ADA, "email": recipient}, NOW)
    MailServer(url).send(WRITER.address, recipient, mail.as_bytes(policy=policy.SMTP))
    return message_id


@pytest.fixture
def sink() -> Iterator[MailSink]:
    sink = MailSink(free_port()).up()
    yield sink
    sink.down()


@pytest.fixture
def guarded() -> Iterator[MailSink]:
    """A mail server that wants a login."""
    sink = MailSink(free_port(), PASSWORD).up()
    yield sink
    sink.down()


@pytest.fixture
def encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MailSink, Path]]:
    """A mail server that wants STARTTLS and a login, and the certificate it shows."""
    signed, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed, key)
    sink = MailSink(free_port(), PASSWORD, tls_context=context, require_starttls=True).up()
    yield sink, signed
    sink.down()


def test_mail_arrives_as_it_was_written(stack: LocalStack) -> None:
    message_id = send(stack.smtp_url)
    [arrived] = [one for one in mailbox.Maildir(stack.mail_dir) if one["Message-ID"] == message_id]
    assert arrived["X-RcptTo"] == "ada@example.org"


def test_login_is_used_where_the_address_has_one(guarded: MailSink) -> None:
    send(f"smtp://{LOGIN}@127.0.0.1:{guarded.port}")
    assert guarded.logins == [("ada@shop", PASSWORD)]
    assert [one.recipient for one in guarded.taken] == ["ada@example.org"]


def test_login_that_is_refused_is_no_reason_to_give_up_a_mail(guarded: MailSink) -> None:
    with pytest.raises(NotTaken) as refusal:
        send(f"smtp://ada:wrong@127.0.0.1:{guarded.port}")
    assert str(refusal.value).startswith("535") and "wrong" not in str(refusal.value)
    with pytest.raises(NotTaken):
        send(f"smtp://127.0.0.1:{guarded.port}")
    assert guarded.taken == []


def test_mail_goes_over_verified_tls(encrypted: tuple[MailSink, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sink, signed = encrypted
    monkeypatch.setenv("SSL_CERT_FILE", str(signed))
    send(f"smtp://{LOGIN}@127.0.0.1:{sink.port}?starttls=true")
    assert sink.logins == [("ada@shop", PASSWORD)] and len(sink.taken) == 1


#: As Nameko runs us: everything that waits is green, and TLS is eventlet's.
IN_EVENTLET = """
import eventlet
eventlet.monkey_patch()
import sys
from mailer_svc.mail_server import MailServer
pool = eventlet.GreenPool()
mail = b"Message-ID: <%d@example.org>\\r\\n\\r\\nhello\\r\\n"
for n in range(4):
    pool.spawn(MailServer(sys.argv[1]).send, "tickets@example.org", "ada@example.org", mail % n)
pool.waitall()
"""


def test_mail_goes_over_verified_tls_in_a_nameko_process(encrypted: tuple[MailSink, Path]) -> None:
    sink, signed = encrypted
    url = f"smtp://{LOGIN}@127.0.0.1:{sink.port}?starttls=true"
    environment = {**os.environ, "SSL_CERT_FILE": str(signed)}
    program = [sys.executable, "-W", "ignore", "-c", IN_EVENTLET, url]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(sink.ids()) == [f"<{n}@example.org>" for n in range(4)]


def test_server_whose_certificate_nobody_vouches_for_gets_neither_password_nor_mail(
    encrypted: tuple[MailSink, Path],
) -> None:
    sink, _ = encrypted
    with pytest.raises(NotTaken) as error:
        send(f"smtp://{LOGIN}@127.0.0.1:{sink.port}?starttls=true")
    assert "certificate" in str(error.value)
    assert (sink.logins, sink.taken) == ([], [])


def test_server_that_cannot_encrypt_gets_neither_password_nor_mail(guarded: MailSink) -> None:
    with pytest.raises(NotTaken):
        send(f"smtp://{LOGIN}@127.0.0.1:{guarded.port}?starttls=true")
    assert (guarded.logins, guarded.taken) == ([], [])


def test_refusal_for_good_says_why_without_the_address(sink: MailSink) -> None:
    sink.mood = "reject"
    with pytest.raises(Refused, match=r"^550 5[.]1[.]1 <[.]{3}>: no such mailbox$"):
        send(sink.url)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("550 <ADA@example.org>: unknown", "550 <...>: unknown"),
        ("550 ada@example.org (now eva@example.com) unknown", "550 ... (now ...) unknown"),
        ("451 try again @ noon", "451 try again @ noon"),
        (f"451 {'x' * 400} ada@example.org", f"451 {'x' * 296}"),
        (f"451 {'x' * 290} ada@example.org", f"451 {'x' * 290} ..."),
    ],
)
def test_reason_is_kept_without_addresses(said: str, kept: str) -> None:
    assert mail_server._kept(said) == kept


def test_refusal_for_now_says_why_without_the_address(sink: MailSink) -> None:
    sink.mood = "refuse"
    with pytest.raises(NotTaken, match=r"^451 4[.]7[.]1 <[.]{3}>: come back later$"):
        send(sink.url)


@pytest.mark.parametrize(("mood", "taken"), [("drop", 0), ("take and drop", 1)])
def test_connection_that_is_dropped_may_have_left_the_mail(sink: MailSink, mood: str, taken: int) -> None:
    sink.mood = mood  # type: ignore[assignment]
    with pytest.raises(NotTaken):
        send(sink.url)
    assert len(sink.taken) == taken


def test_mail_that_was_taken_is_taken_however_the_server_says_goodbye(sink: MailSink) -> None:
    """Otherwise it would be sent again."""
    sink.farewell = "421 too many connections"
    send(sink.url)
    assert len(sink.taken) == 1


def test_server_that_is_slow_is_given_up(sink: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_server, "PATIENCE", 0.2)
    sink.mood = "slow"
    began = time.monotonic()
    with pytest.raises(TooSlow):
        send(sink.url)
    assert time.monotonic() - began < 2
    sink.mood = "take"


def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_server, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TooSlow):
        send(f"smtp://127.0.0.1:{silent.getsockname()[1]}")


def test_absent_server_is_told() -> None:
    with pytest.raises(NotTaken, match="refused"):
        send(f"smtp://127.0.0.1:{free_port()}")
