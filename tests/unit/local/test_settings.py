from pathlib import Path

import pytest

from local.settings import Settings, StackFailed


def test_defaults() -> None:
    settings = Settings.read({})
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 3000, Path(".data").resolve())
    assert settings.given == {}
    assert settings.api_url == "http://127.0.0.1:3000"


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.read({"PORT": "", "MONGO_URI": ""}).given == {}


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1", "3000.5", "٣٠٠٠"])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(StackFailed, match="is not a port number"):
        Settings.read({"PORT": port})


@pytest.mark.parametrize("number", ["none", "0", "65", "-1", "2.0", "٣"])
def test_what_is_no_number_of_processes_is_refused(number: str) -> None:
    with pytest.raises(StackFailed, match="is not a number of processes"):
        Settings.read({"BOOKING_PROCESSES": number})


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("10.1.2.3", "http://10.1.2.3:3000"),
        ("::1", "http://[::1]:3000"),
    ],
)
def test_the_api_url_is_one_that_a_client_here_can_use(host: str, url: str) -> None:
    assert Settings.read({"HOST": host}).api_url == url


def test_programs_get_nothing_of_the_callers_environment_but_what_is_listed() -> None:
    caller = {"PATH": "/bin", "RATELIMIT_ENABLED": "false", "AWS_SECRET_ACCESS_KEY": "x", "MONGO_URI": "mongodb://y"}
    assert Settings.read({**caller, "DATA_DIR": "/d"}).passed_on == {
        "PATH": "/bin",
        "RATELIMIT_ENABLED": "false",
        "DATA_DIR": "/d",
    }
