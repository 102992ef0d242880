"""A real SMTP server that can be down, slow, refuse, drop what it is told, or take a mail and not say so."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

Mood = Literal["take", "slow", "refuse", "reject", "drop", "take and drop"]
#: Seconds that a slow server takes for a recipient, unless it is told to go on.
SLOW = 600.0


class Taken(NamedTuple):
    """A mail that was taken, whether or not the sender was told so."""

    message_id: str
    recipient: str
    mail: EmailMessage


class MailSink:
    """Listens on 127.0.0.1:*port*; its *mood* may depend on the recipient."""

    def __init__(self, port: int, password: str | None = None, **tls: Any) -> None:
        self.port = port
        self.url = f"smtp://127.0.0.1:{port}"
        self.taken: list[Taken] = []
        self.logins: list[tuple[str, str]] = []
        self.asked: Counter[str] = Counter()
        self.mood: Mood | Callable[[str], Mood] = "take"
        self.farewell = "221 Bye"
        self.most_at_once = 0
        self._at_once = 0
        self._password = password
        self._options: dict[str, Any] = dict(tls)
        if password is not None:
            encrypted = bool(tls)
            self._options |= {"authenticator": self._login, "auth_required": True, "auth_require_tls": encrypted}
        self._controller: Controller | None = None
        self._lock = threading.Lock()

    def up(self) -> "MailSink":
        if self._controller is None:
            self._controller = Controller(self, "127.0.0.1", self.port, **self._options)
            self._controller.start()
        return self

    def down(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def ids(self, about: str = "") -> Counter[str]:
        """How often each Message-ID was taken, of those that begin like this."""
        with self._lock:
            return Counter(one.message_id for one in self.taken if one.message_id.startswith(f"<{about}"))

    def _login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password.decode() == self._password, handled=False)

    def _mood(self, recipient: str) -> Mood:
        return self.mood(recipient) if callable(self.mood) else self.mood

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        self.asked[address] += 1
        mood = self._mood(address)
        if mood == "refuse":
            return f"451 4.7.1 <{address}>: come back later"
        if mood == "reject":
            return f"550 5.1.1 <{address.upper()}>: no such mailbox"
        if mood == "slow":
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                for _ in range(int(SLOW / 0.05)):
                    if self._mood(address) != "slow":
                        break
                    await asyncio.sleep(0.05)
            finally:
                self._at_once -= 1
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        return self.farewell

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        [recipient] = envelope.rcpt_tos
        mood = self._mood(recipient)
        if mood == "drop":
            server.transport.abort()
            return "250 never heard"
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        with self._lock:
            self.taken.append(Taken(str(mail["Message-ID"]), recipient, mail))
        if mood == "take and drop":
            server.transport.abort()
        return "250 OK"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a mail server of the tests")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate_file, key_file
