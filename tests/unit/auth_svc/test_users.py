"""Addresses and what is shown of a user."""

from datetime import UTC, datetime

import pytest

from auth_svc.emails import normalise
from auth_svc.users import as_user


@pytest.mark.parametrize("spelling", ["ada@example.org", "ADA@example.org", "Ada@Example.ORG", "  ada@example.org\t"])
def test_address_has_one_form_whatever_its_spelling(spelling: str) -> None:
    assert normalise(spelling) == "ada@example.org"


def test_user_is_shown_without_the_hash_of_the_password() -> None:
    shown = as_user(
        {
            "_id": "u1",
            "email": "ada@example.org",
            "name": "Ada",
            "roles": ["customer"],
            "password_hash": "$argon2id$...",
            "created_at": datetime(2026, 12, 1, tzinfo=UTC),
        }
    )
    assert shown == {
        "id": "u1",
        "email": "ada@example.org",
        "email_verified": False,
        "name": "Ada",
        "roles": ["customer"],
        "created_at": "2026-12-01T00:00:00Z",
    }
