from pathlib import Path

import pytest

from local import private_files, secrets
from local.settings import StackFailed
from mailer_svc.signatures import TicketSigner


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets.env"


def test_secrets_are_made_once(file: Path) -> None:
    first = secrets.load(file, {})
    assert secrets.load(file, {}).values == first.values
    assert len(bytes.fromhex(first["JWT_SECRET_KEY"])) == 32
    assert TicketSigner(first["TICKET_SIGNING_KEY"]).public_keys()["keys"], "32 random bytes are a key"
    assert len({first[name] for name in secrets.LENGTHS}) == len(secrets.LENGTHS)


def test_secrets_are_for_their_owner_only(file: Path) -> None:
    secrets.load(file, {})
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_could_read_is_closed_to_them(file: Path) -> None:
    file.write_text("ADMIN_PASSWORD=known\n")
    file.chmod(0o644)
    assert secrets.load(file, {})["ADMIN_PASSWORD"] == "known"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_generated_admin_password_is_new_only_once(file: Path) -> None:
    assert secrets.load(file, {}).admin_password_is_new
    assert not secrets.load(file, {}).admin_password_is_new


def test_the_first_admin_given_is_remembered_and_not_told(file: Path) -> None:
    given = secrets.load(file, {"ADMIN_EMAIL": "me@example.org", "ADMIN_PASSWORD": "a=b #c"})
    assert not given.admin_password_is_new
    later = secrets.load(file, {})
    assert (later["ADMIN_EMAIL"], later["ADMIN_PASSWORD"]) == ("me@example.org", "a=b #c")


def test_values_survive_being_written_and_read(file: Path) -> None:
    values = {"A": "", "B": "x=y=z", "C": " spaces ", "D": "\"quotes' and ünïcode", "E": "\r\x0b\u2028"}
    private_files.write_values(file, values)
    assert private_files.read_values(file) == values


def test_a_line_break_is_refused(file: Path) -> None:
    with pytest.raises(StackFailed, match="ADMIN_PASSWORD holds a line break"):
        secrets.load(file, {"ADMIN_PASSWORD": "a\nJWT_SECRET_KEY=known"})
    assert not file.exists()


def test_key_that_is_changed_becomes_the_previous_one(file: Path) -> None:
    first = secrets.load(file, {})
    changed = secrets.load(file, {"JWT_SECRET_KEY": "a new key"})
    assert (changed["JWT_SECRET_KEY"], changed["JWT_PREVIOUS_SECRET_KEY"]) == ("a new key", first["JWT_SECRET_KEY"])
    for environ in ({"JWT_SECRET_KEY": "a new key"}, {}):
        assert secrets.load(file, environ).values == changed.values
