"""An address that may register is one that can be written to: gateway and mailer agree what an address is."""

import smtplib
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from gateway.schemas import Registration
from tests.unit.mailer_svc.letters import WRITER, letter

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def may_register(email: str) -> bool:
    try:
        Registration().load({"email": email, "password": "correct horse battery", "name": "Ada"})
    except ValidationError:
        return False
    return True


def assert_can_be_written_to(email: str) -> None:
    message = WRITER.write(letter("password_reset"), {"email": email, "name": "Ada"}, NOW)
    received = message_from_bytes(message.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert [address.addr_spec for address in received["To"].addresses] == [email]
    # What smtplib says to the server stays one command.
    assert "\n" not in smtplib.quoteaddr(email) and "\r" not in smtplib.quoteaddr(email)


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.org",
        "ada+tickets@shop.example",
        "o'hara@example.org",
        "a!#$%&*/=?^_`{|}~-b@example.org",
        "ada@[127.0.0.1]",
        "ada@localhost",
        '"ada"@example.org',
        '"a\\"b"@example.org',
        '"a,b;c<d>"@example.org',
        "ädä@example.org",
        "ada@exämple.org",
    ],
)
def test_unusual_address_is_refused_or_can_be_written_to(email: str) -> None:
    if may_register(email):
        assert_can_be_written_to(email)


local_parts = st.text("abcZ09.!#$%&'*+/=?^_`{|}~-äß", min_size=1, max_size=20) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=10
).map(lambda quoted: f'"{quoted}"')
domains = st.sampled_from(["example.org", "[10.0.0.1]", "localhost", "exämple.org", "xn--exmple-cua.org"])


@given(local_parts, domains)
def test_any_address_is_refused_or_can_be_written_to(local_part: str, domain: str) -> None:
    email = f"{local_part}@{domain}"
    if may_register(email):
        assert_can_be_written_to(email)
