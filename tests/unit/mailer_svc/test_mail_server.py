"""What SMTP_URL says of the way to the mail server."""

import re
from pathlib import Path

import pytest

from mailer_svc.mail_server import BadMailServer, MailServer

EXAMPLE = Path(__file__).resolve().parents[3] / "mailer_svc" / ".env.example"


def way(url: str) -> tuple[str, int, bool, bool]:
    """Host, port, TLS at once, STARTTLS."""
    server = MailServer(url)
    return server.host, server.port, server.implicit_tls, server.starttls


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://127.0.0.1:2525", ("127.0.0.1", 2525, False, False)),
        ("smtp://localhost:2525", ("localhost", 2525, False, False)),
        ("smtp://127.0.0.1:2525?starttls=true", ("127.0.0.1", 2525, False, True)),
        ("smtp://mail.example.org", ("mail.example.org", 587, False, True)),
        ("smtp://mail.example.org:25", ("mail.example.org", 25, False, True)),
        ("smtp://mail.example.org:587?starttls=true", ("mail.example.org", 587, False, True)),
        ("smtp://mail.example.org:587?starttls=false", ("mail.example.org", 587, False, True)),
        ("smtp://mailpit:1025?tls=off", ("mailpit", 1025, False, False)),
        ("smtps://mail.example.org", ("mail.example.org", 465, True, False)),
        ("smtps://mail.example.org:4650?tls=off", ("mail.example.org", 4650, True, False)),
    ],
)
def test_tls_is_demanded_unless_the_server_is_here_or_the_address_says_off(
    url: str, expected: tuple[str, int, bool, bool]
) -> None:
    assert way(url) == expected


@pytest.mark.parametrize("url", ["", "mail.example.org", "http://mail.example.org", "smtp://", "smtp://host:x"])
def test_what_is_no_mail_server_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(BadMailServer):
        MailServer(url)


def test_the_examples_address_of_gmail_works_as_it_is_written() -> None:
    [url] = re.findall(r"smtp://\S+@smtp\.gmail\.com\S*", EXAMPLE.read_text())
    server = MailServer(url)
    assert way(url) == ("smtp.gmail.com", 587, False, True)
    assert (server.user, server.password) == ("user@gmail.com", "app-password")
