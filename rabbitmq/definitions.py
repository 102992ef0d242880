"""The topology and everybody's rights in RabbitMQ's own form, and compared with what a broker exports."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rabbitmq import topology
from rabbitmq.names import PROGRAMS
from rabbitmq.permissions import OPERATOR, Rights, rights, topic_rights

VHOST = "/"
#: What makes an entry of each section the one it is; the rest may be right or wrong.
IDENTITY = {
    "exchanges": ("name",),
    "queues": ("name",),
    "bindings": ("source", "destination", "destination_type", "routing_key"),
    "permissions": ("user",),
    "topic_permissions": ("user", "exchange"),
}
#: Of these, one that we do not know is a way for messages, or a right, that nobody should have.
CLOSED = ("bindings", "permissions", "topic_permissions")


def definitions() -> dict[str, list[dict[str, Any]]]:
    """Everything but the users, whose passwords are not for a repository (`users.py`)."""
    wanted = topology.everything()
    return {
        "vhosts": [{"name": VHOST}],
        "permissions": [
            *({"user": program, "vhost": VHOST, **rights(program)._asdict()} for program in PROGRAMS),
            {"user": OPERATOR, "vhost": VHOST, **Rights(".*", ".*", ".*")._asdict()},
        ],
        "topic_permissions": [
            {"user": program, "vhost": VHOST, "exchange": exchange, "write": right.write, "read": right.read}
            for program in PROGRAMS
            for exchange, right in topic_rights(program).items()
        ],
        "exchanges": [
            {"name": name, "vhost": VHOST, "type": "topic", "durable": True, "auto_delete": False}
            | {"internal": False, "arguments": {}}
            for name in wanted.exchanges
        ],
        "queues": [
            {"name": queue.name, "vhost": VHOST, "durable": True, "auto_delete": False, "arguments": queue.arguments}
            for queue in wanted.queues
        ],
        "bindings": [
            {"source": binding.source, "vhost": VHOST, "destination": binding.destination}
            | {"destination_type": "exchange" if binding.to_exchange else "queue"}
            | {"routing_key": binding.key, "arguments": {}}
            for binding in wanted.bindings
        ],
    }


def as_text(sections: Mapping[str, list[dict[str, Any]]]) -> str:
    """JSON with a line for each entry, so that a change shows as what it is."""
    parts = (
        f"  {json.dumps(name)}: [\n" + ",\n".join(f"    {json.dumps(entry)}" for entry in entries) + "\n  ]"
        for name, entries in sections.items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


def differences(exported: Mapping[str, Any]) -> Iterator[str]:
    """
    How the definitions that a broker has exported differ from ours, a line each.

    A queue of answers, and what a program has bound to it, come and go and are no difference.
    """
    for section, wanted in definitions().items():
        if section not in IDENTITY:
            continue
        found = {_identity(section, entry): entry for entry in exported.get(section, []) if entry["vhost"] == VHOST}
        for entry in wanted:
            there = found.pop(_identity(section, entry), None)
            if there is None:
                yield f"missing in {section}: {_named(section, entry)}"
                continue
            for key in entry.keys() & there.keys():  # RabbitMQ 3.10 exports not all of an exchange
                if there[key] != entry[key]:
                    yield f"wrong in {section}: {_named(section, entry)}: {key} is {there[key]}, not {entry[key]}"
        if section in CLOSED:
            strange = (entry for entry in found.values() if not _comes_and_goes(entry))
            yield from (f"not ours in {section}: {_named(section, entry)}" for entry in strange)


def _comes_and_goes(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("destination", "")).startswith("rpc.reply-")


def _identity(section: str, entry: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in IDENTITY[section])


def _named(section: str, entry: Mapping[str, Any]) -> str:
    return " ".join(str(entry.get(key)) for key in IDENTITY[section])
