"""The mail server that SMTP_URL names: how it is reached, and what its answers mean."""

import re
import smtplib
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

#: Seconds for each step of the conversation with the mail server.
PATIENCE = 10
#: Seconds for its answer to a whole mail: by then it may have taken it, and RFC 5321 asks to wait long.
PATIENCE_FOR_TAKING = 60
#: Characters of a server's answer that are kept as a reason.
REASON_LENGTH = 300
#: An e-mail address in it: the recipient's, or where a server would have forwarded the mail to.
ADDRESS = re.compile(r"[^\s<>()\[\],;:\"']+@[^\s<>()\[\],;:\"']+")
#: Replies that ask for a login, or refuse it (RFC 4954): they are not about the mail.
LOGIN_REPLIES = (530, 534, 535, 538)
#: Names of this machine itself: what is said to them does not leave it.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class BadMailServer(Exception):
    """SMTP_URL must be smtp://host:port or smtps://host:port; without TLS only to this machine, or with ?tls=off."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class NotTaken(Exception):
    """The mail server has not taken the mail, or nobody knows; another try may succeed. Its text says why."""

    slow = False  #: it did not answer in time


class TooSlow(NotTaken):
    """The mail server did not answer in time."""

    slow = True


class Refused(Exception):
    """The mail server refuses this mail for good (5xx). Its text is the server's."""


class MailServer:
    """
    The server at *url*: `smtp://user:password@host:587` (STARTTLS), `smtps://user:password@host:465` (TLS at once).

    TLS is demanded and its certificate verified, unless the server is on this machine or the URL says `?tls=off`.

    Raises:
        BadMailServer
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port, options = parts.port, parse_qs(parts.query)
        except ValueError as error:
            raise BadMailServer from error
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise BadMailServer
        self.host = parts.hostname
        self.implicit_tls = parts.scheme == "smtps"
        self.port = port or (465 if self.implicit_tls else 587)
        self.user = unquote(parts.username or "")
        self.password = unquote(parts.password or "")
        trusted = self.host in LOOPBACK or options.get("tls") == ["off"]
        self.starttls = not self.implicit_tls and (not trusted or options.get("starttls") == ["true"])

    def send(self, sender: str, recipient: str, mail: bytes) -> None:
        """
        Hand *mail* over; when this returns, the server has taken it.

        Raises:
            Refused: the server refuses the sender, the recipient or the mail for good.
            NotTaken: it has not taken it, or nobody knows. A server that does not let us in at all is no reason to give
                up a mail, whatever its code: it is set up wrongly, and somebody will mend that.
        """
        try:
            server = self._connect()
            try:
                self._converse(server, sender, recipient, mail)
            finally:
                server.close()
        except smtplib.SMTPResponseException as error:
            raise NotTaken(_reason(error.smtp_code, error.smtp_error)) from error
        except (smtplib.SMTPException, OSError) as error:
            # smtplib tells of a server that did not answer as of one that went away.
            if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
                raise TooSlow("The mail server did not answer in time.") from error
            raise NotTaken(_kept(str(error)) or type(error).__name__) from error

    def _connect(self) -> smtplib.SMTP:
        if self.implicit_tls:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=PATIENCE, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=PATIENCE)
        if self.starttls:
            try:
                server.starttls(context=ssl.create_default_context())
            except BaseException:
                server.close()
                raise
        return server

    def _converse(self, server: smtplib.SMTP, sender: str, recipient: str, mail: bytes) -> None:
        if self.user:
            server.login(self.user, self.password)
        else:
            server.ehlo_or_helo_if_needed()
        _check(server.mail(sender))
        _check(server.rcpt(recipient))
        if server.sock is not None:
            server.sock.settimeout(PATIENCE_FOR_TAKING)
        _check(_data(server, mail))
        with suppress(OSError, smtplib.SMTPException):  # taken is taken, however the server says goodbye
            server.quit()


def _data(server: smtplib.SMTP, mail: bytes) -> tuple[int, bytes]:
    try:
        return server.data(mail)
    except smtplib.SMTPDataError as error:  # it does not even want to hear it
        return error.smtp_code, _bytes(error.smtp_error)


def _check(answer: tuple[int, bytes]) -> None:
    code, text = answer
    if 500 <= code < 600 and code not in LOGIN_REPLIES:
        raise Refused(_reason(code, text))
    if not 200 <= code < 300:
        raise NotTaken(_reason(code, text))


def _reason(code: int, text: Any) -> str:
    """`550 no such mailbox`, on one line."""
    said = " ".join(_bytes(text).decode(errors="replace").split())
    return _kept(f"{code} {said}")


def _kept(reason: str) -> str:
    """*reason* as logs and bookings keep it: without e-mail addresses, since it outlives the account."""
    return ADDRESS.sub("...", reason)[:REASON_LENGTH]


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()
