"""The mails that the stack's mail server has taken, found by what stands in their heads."""

import email
import email.policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path

from tests.e2e.api_client import Box

#: Bytes that hold the whole head of a mail of ours.
HEAD = 16_384


def mails_with(box: Box, *words: str) -> list[EmailMessage]:
    """Those that have arrived and in whose head each of *words* stands: a recipient's address, or part of an id."""
    wanted = [word.encode() for word in words]
    return [_read(file) for file in _new(box) if all(word in _head(file) for word in wanted)]


def deliveries(box: Box) -> list[tuple[str, str]]:
    """Recipient and Message-ID of all that have arrived; one that was handed over twice is there twice."""
    return [_delivery(file) for file in _new(box)]


def _new(box: Box) -> list[Path]:
    return list((Path(box.stack.mail_dir) / "new").iterdir())


@cache
def _head(file: Path) -> bytes:
    # A run has thousands of mails with tickets in them: each is opened once, and no more of it read than is looked at.
    with file.open("rb") as opened:
        return opened.read(HEAD).partition(b"\n\n")[0] + b"\n"


@cache
def _delivery(file: Path) -> tuple[str, str]:
    mail = email.message_from_bytes(_head(file), policy=email.policy.default)
    return str(mail["X-RcptTo"]), str(mail["Message-ID"]).strip()  # a long one stands on a line of its own


def _read(file: Path) -> EmailMessage:
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail
