"""The gateway starts with all it needs, or says what is missing."""

import pytest

from gateway.config import MissingSetting, from_environment

NEEDED = {
    "JWT_SECRET_KEY": "0123456789abcdef" * 4,
    "AMQP_URI": "amqp://localhost",
    "SESSION_REDIS_URL": "redis://localhost",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_environment_becomes_the_settings() -> None:
    settings = from_environment()
    assert settings["JWT_SECRET_KEYS"] == [NEEDED["JWT_SECRET_KEY"]]
    assert {name: settings[name] for name in ("AMQP_URI", "SESSION_REDIS_URL")}.items() <= NEEDED.items()


@pytest.mark.parametrize("name", NEEDED)
def test_missing_setting_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(MissingSetting, match=name):
        from_environment()


@pytest.mark.parametrize("name", NEEDED)
def test_empty_setting_counts_as_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    with pytest.raises(MissingSetting, match=name):
        from_environment()


@pytest.mark.parametrize("secret", ["secret", "x" * 31])
def test_weak_secret_is_refused_and_not_repeated(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", secret)
    with pytest.raises(MissingSetting, match="JWT_SECRET_KEY") as refused:
        from_environment()
    assert secret not in str(refused.value).split()


def test_tokens_are_signed_and_read_with_one_algorithm() -> None:
    settings = from_environment()
    assert settings["JWT_DECODE_ALGORITHMS"] == [settings["JWT_ALGORITHM"]] == ["HS256"]
