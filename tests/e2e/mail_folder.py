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


def message_ids(box: Box, begin: str) -> set[str]:
    """The ids, without brackets, that begin so; one that was handed over twice is one."""
    ids = {str(mail["Message-ID"]).strip("<> ") for mail in mails_with(box, f"<{begin}")}
    return {one for one in ids if one.startswith(begin)}


def _new(box: Box) -> list[Path]:
    return list((Path(box.stack.mail_dir) / "new").iterdir())


@cache
def _head(file: Path) -> bytes:
    # A run has thousands of mails with tickets in them: each is opened once, and no more of it read than is looked at.
    with file.open("rb") as opened:
        return opened.read(HEAD).partition(b"\n\n")[0] + b"\n"


def _read(file: Path) -> EmailMessage:
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail
