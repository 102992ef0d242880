"""Passwords that are guessed first are refused."""

import pytest

from auth_svc.password_rules import common_passwords, normalise, weakness

ADA = "ada.lovelace@example.org"


def test_every_password_of_the_list_is_refused_or_too_short() -> None:
    passwords = common_passwords()
    assert len(passwords) > 30_000
    assert [password for password in passwords if len(password) >= 12 and weakness(password, ADA) is None] == []


def test_list_has_passwords_only() -> None:
    assert all(len(p) >= 6 and p == p.lower() and not p.startswith("#") for p in common_passwords())


@pytest.mark.parametrize(
    "password",
    ["password1234", "PASSWORD1234", "passwordpassword", "qwertyuiop12", "iloveyou2026", "123456789012", "aaaaaaaaaaaa",
     "abcabcabcabc", "liverpool1!", "!!!!!!!!!!!!!", "1q2w3e4r5t6y"],
)  # fmt: skip
def test_common_password_is_refused_in_whatever_dress(password: str) -> None:
    assert weakness(password, ADA) == "common"


@pytest.mark.parametrize(
    "password", ["ada.lovelace@example.org", "I am Ada.Lovelace!", "xxADA.LOVELACE@EXAMPLE.ORGxx", "ada.lovelace2026"]
)
def test_password_with_the_address_in_it_is_refused(password: str) -> None:
    assert weakness(password, ADA) == "contains_address"


def test_short_name_may_be_in_a_password_by_chance() -> None:
    assert weakness("a canada goose", "ada@example.org") is None
    assert weakness("my ada@example.org", "ada@example.org") == "contains_address"


@pytest.mark.parametrize(
    "password", ["correct horse battery", "correct horse battery staple", "пароль с пробелами", "tr0ub4dor&3 and more"]
)
def test_no_composition_is_asked_for(password: str) -> None:
    assert weakness(password, ADA) is None


def test_same_characters_are_the_same_password_whichever_keyboard_wrote_them() -> None:
    assert normalise("pa\u0308ssword") == normalise("p\u00e4ssword")
    assert normalise("ﬁ") != normalise("fi"), "what looks different stays different"
