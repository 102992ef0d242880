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


def test_gateway_does_without_the_inventory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_REDIS_URL", "")
    assert from_environment()["GATEWAY_REDIS_URL"] is None
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://gateway@localhost")
    assert from_environment()["GATEWAY_REDIS_URL"] == "redis://gateway@localhost"


@pytest.mark.parametrize("secret", ["secret", "x" * 31])
def test_weak_secret_is_refused_and_not_repeated(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", secret)
    with pytest.raises(MissingSetting, match="JWT_SECRET_KEY") as refused:
        from_environment()
    assert secret not in str(refused.value).split()


def test_tokens_are_signed_and_read_with_one_algorithm() -> None:
    settings = from_environment()
    assert settings["JWT_DECODE_ALGORITHMS"] == [settings["JWT_ALGORITHM"]] == ["HS256"]


def test_previous_key_is_accepted_and_not_signed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_PREVIOUS_SECRET_KEY", "previous" * 8)
    assert from_environment()["JWT_SECRET_KEYS"] == [NEEDED["JWT_SECRET_KEY"], "previous" * 8]
    monkeypatch.setenv("JWT_PREVIOUS_SECRET_KEY", "short")
    with pytest.raises(MissingSetting, match="JWT_PREVIOUS_SECRET_KEY"):
        from_environment()


@pytest.mark.parametrize("name", ["RATELIMIT_READS", "RATELIMIT_WRITES", "RATELIMIT_ACCOUNTS"])
def test_rate_that_makes_no_sense_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "5 per minute; 100 per hour")
    assert from_environment()["RATES"][name.removeprefix("RATELIMIT_").lower()] == "5 per minute; 100 per hour"
    for wrong in ("often", "5", "x per minute"):
        monkeypatch.setenv(name, wrong)
        with pytest.raises(MissingSetting, match=name):
            from_environment()


@pytest.mark.parametrize("number", ["-1", "10", "all", "1.5"])
def test_number_of_proxies_that_makes_no_sense_is_refused(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", number)
    with pytest.raises(MissingSetting, match="TRUSTED_PROXIES"):
        from_environment()


@pytest.mark.parametrize(("said", "limited"), [("", True), ("true", True), ("false", False), ("FALSE", False)])
def test_limits_are_on_unless_they_are_turned_off(said: str, limited: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATELIMIT_ENABLED", said)
    assert from_environment()["RATELIMIT_ENABLED"] is limited
