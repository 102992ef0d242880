"""definitions.json, and telling how a broker differs from it."""

import base64
import copy
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rabbitmq.__main__ import main
from rabbitmq.definitions import as_text, definitions, differences
from rabbitmq.delays import ENTRANCE
from rabbitmq.names import BATCHED, PROGRAMS, SERVICES
from rabbitmq.topology import everything
from rabbitmq.users import USERS, hashed, password_variable

FILE = Path(__file__).resolve().parents[3] / "rabbitmq" / "definitions.json"


def test_file_says_what_the_code_says() -> None:
    how = "python -m rabbitmq topology definitions > rabbitmq/definitions.json"
    assert FILE.read_text() == as_text(definitions()), how


def test_command_prints_the_file() -> None:
    assert CliRunner().invoke(main, ["topology", "definitions"]).stdout == FILE.read_text()


def test_file_holds_no_user_and_no_password() -> None:
    assert "users" not in definitions() and not re.search('"password(_hash)?"', FILE.read_text())


def test_nothing_is_declared_twice_and_no_binding_leads_nowhere() -> None:
    exchanges, queues, bindings = everything()
    for things in (exchanges, [queue.name for queue in queues], bindings):
        assert len(set(things)) == len(things)
    for binding in bindings:
        assert binding.source in exchanges
        assert binding.destination in (exchanges if binding.to_exchange else [queue.name for queue in queues])
    for queue in queues:
        assert queue.arguments.get("x-dead-letter-exchange") in (None, *exchanges)


def test_every_program_has_rights_and_only_an_operator_has_all() -> None:
    entries = {entry["user"]: entry for entry in definitions()["permissions"]}
    assert entries.keys() == set(USERS)
    for program in PROGRAMS:
        for right in ("configure", "write", "read"):
            pattern = entries[program][right]
            assert pattern.startswith("^") and pattern.endswith("$") and not re.search(pattern, "amq.default")
            # The first delay level's queue has the name of the exchange that the relay writes to.
            queues = {queue.name for queue in everything().queues if re.search(pattern, queue.name)} - {ENTRANCE}
            assert right == "read" or not queues


@pytest.mark.parametrize("service", SERVICES)
def test_service_reads_its_own_queues_and_no_others(service: str) -> None:
    (read,) = (entry["read"] for entry in definitions()["permissions"] if entry["user"] == service)
    readable = {queue.name for queue in everything().queues if re.search(read, queue.name)}
    own = {q.name for q in everything().queues if q.name.startswith("evt-") and f"--{service}." in q.name}
    batches = {f"rpc-{service}.batches"} if service in BATCHED else set()
    assert readable == {f"rpc-{service}"} | batches | own


def as_exported() -> dict[str, Any]:
    """Definitions as a broker exports them: with users, in another order, with queues of answers."""
    exported: dict[str, Any] = copy.deepcopy(definitions())
    exported["users"] = [{"name": "operator", "password_hash": "..."}]
    exported["queues"].insert(0, {"name": "rpc.reply-gateway-1", "vhost": "/", "durable": False, "arguments": {}})
    exported["bindings"].append(
        {"source": "nameko-rpc", "vhost": "/", "destination": "rpc.reply-gateway-1", "destination_type": "queue"}
        | {"routing_key": "gateway-1", "arguments": {}}
    )
    exported["permissions"].append({"user": "x", "vhost": "/other", "configure": "", "write": "", "read": ""})
    return exported


def test_what_comes_and_goes_is_no_difference() -> None:
    assert list(differences(as_exported())) == []


@pytest.mark.parametrize("section", ["exchanges", "queues", "bindings", "permissions", "topic_permissions"])
def test_what_is_missing_is_told(section: str) -> None:
    exported = as_exported()
    exported[section] = [entry for entry in exported[section] if entry != definitions()[section][0]]
    (told,) = differences(exported)
    assert told.startswith(f"missing in {section}: ")


def test_wider_right_is_told_with_what_it_is_and_should_be() -> None:
    exported = as_exported()
    (mailer,) = (entry for entry in exported["permissions"] if entry["user"] == "mailer_svc")
    mailer["write"] = ".*"
    (told,) = differences(exported)
    assert told.startswith("wrong in permissions: mailer_svc: write is .*, not ^(from")


def test_binding_that_is_not_ours_is_told() -> None:
    exported = as_exported()
    exported["bindings"].append(
        {"source": "from.mailer_svc", "vhost": "/", "destination": "nameko-rpc", "destination_type": "exchange"}
        | {"routing_key": "#", "arguments": {}}
    )
    assert list(differences(exported)) == ["not ours in bindings: from.mailer_svc nameko-rpc exchange #"]


def test_password_is_hashed_as_rabbitmq_documents_it() -> None:
    """The example of its documentation: test12 with the salt 908D C60A."""
    assert hashed("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_hash_fits_its_password_and_no_two_are_the_same() -> None:
    kept = base64.b64decode(first := hashed("secret"))
    assert kept[4:] == hashlib.sha256(kept[:4] + b"secret").digest()
    assert hashed("secret") != first


def test_users_command_prints_hashes_of_the_passwords_in_the_environment() -> None:
    passwords = {password_variable(user): f"password of {user}" for user in USERS}
    printed = CliRunner().invoke(main, ["topology", "users"], env=passwords).stdout
    assert [user["name"] for user in json.loads(printed)["users"]] == list(USERS)
    assert not [password for password in passwords.values() if password in printed]


def test_users_command_names_the_password_that_is_missing() -> None:
    result = CliRunner().invoke(main, ["topology", "users"], env={"RABBITMQ_GATEWAY_PASSWORD": "x"})
    assert result.exit_code == 2 and "RABBITMQ_AUTH_SVC_PASSWORD is not set" in result.output
