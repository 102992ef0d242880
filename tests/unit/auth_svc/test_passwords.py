"""Passwords are hashed as OWASP asks, and an unknown user takes as long as a wrong password."""

import argon2
import pytest

from auth_svc import passwords


def test_hash_is_argon2id_with_the_parameters_it_was_made_with() -> None:
    parameters = argon2.extract_parameters(passwords.hash_password("correct horse battery"))
    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)
    assert parameters.salt_len >= 16 and parameters.hash_len >= 32


def test_password_matches_its_own_hash_only() -> None:
    hashed = passwords.hash_password("correct horse battery")
    assert passwords.verify("correct horse battery", hashed)
    assert not passwords.verify("correct horse batterY", hashed)
    assert not passwords.verify("", hashed)


def test_same_password_has_another_hash_each_time() -> None:
    assert passwords.hash_password("correct horse battery") != passwords.hash_password("correct horse battery")


@pytest.mark.parametrize("password", ["пароль с пробелами 🎻", "nul \x00 inside", "x" * 1024])
def test_every_character_counts(password: str) -> None:
    hashed = passwords.hash_password(password)
    assert passwords.verify(password, hashed)
    assert not passwords.verify(password[:-1], hashed)


def test_unknown_user_has_no_password() -> None:
    assert not passwords.verify("nobody has this password", None)


def test_unknown_user_costs_as_much_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    real = passwords._matches

    def watched(password: str, hashed: str) -> bool:
        verified.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(passwords, "_matches", watched)
    known = passwords.hash_password("correct horse battery")
    assert not passwords.verify("wrong password", known)
    assert not passwords.verify("wrong password", None)
    assert verified[0] == known
    assert [argon2.extract_parameters(h) for h in verified] == [argon2.extract_parameters(known)] * 2
