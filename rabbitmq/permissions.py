"""
Who may call whom, and what the user of each program may do in the broker.

A program writes to one exchange, its outlet, under the keys that are its own (`topic_rights`). What it reaches from
there is a matter of bindings as well (`topology.py`), which nobody but an operator can change: RabbitMQ looks at no
key of what a queue of the program's dead-letters into the outlet, but that goes no further either.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rabbitmq.delays import ENTRANCE, LEVELS
from rabbitmq.names import BATCHED, REPLY_ID, RPC_EXCHANGE, SERVICES, UUID, events_exchange, outlet

#: Who calls which methods of whom. A call that is not here does not reach its service.
CALLS: dict[str, dict[str, tuple[str, ...]]] = {
    "gateway": {
        "auth_svc": (
            "change_password",
            "end_all_sessions",
            "end_session",
            "erase_account",
            "find_user",
            "get_contacts",
            "get_profile",
            "list_audit_entries",
            "list_sessions",
            "login",
            "logout",
            "ping",
            "record_denial",
            "refresh",
            "register",
            "request_email_verification",
            "request_password_reset",
            "reset_password",
            "set_roles",
            "update_profile",
            "verify_email",
        ),
        "concert_svc": (
            "cancel_concert",
            "create_concert",
            "delete_concert",
            "get_concert",
            "get_own_concert",
            "list_changes",
            "list_own_concerts",
            "ping",
            "publish_concert",
            "search_concerts",
            "update_concert",
        ),
        "booking_svc": (
            "book_hold",
            "book_tickets",
            "cancel_booking",
            "extend_hold",
            "get_availability",
            "get_booking",
            "get_hold",
            "get_sales",
            "get_seats",
            "hold_tickets",
            "list_bookings",
            "list_concert_bookings",
            "list_rollouts",
            "ping",
            "release_hold",
            "resend_confirmation",
        ),
        "mailer_svc": ("list_ticket_keys", "ping", "render_calendar", "render_tickets"),
    },
    "concert_svc": {
        "booking_svc": ("find_available", "set_sales_terms"),
    },
    "booking_svc": {
        "mailer_svc": ("find_waiting",),
    },
    "mailer_svc": {
        "auth_svc": ("get_contact",),
    },
}


class Rights(NamedTuple):
    """Regular expressions of what a user may declare, write to and read from, as RabbitMQ knows them."""

    configure: str
    write: str
    read: str


NOTHING = "^$"
OPERATOR = "operator"


def in_batches(called: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Those of the methods, by service, that may be called in batches."""
    return {
        service: [method for method in methods if method in called[service]]
        for service, methods in BATCHED.items()
        if service in called
    }


def rights(program: str) -> Rights:
    """
    What *program* may do: send through its outlet, take from its own queues, wait for answers.

    The relay has no outlet: it may tell every event, now or later, which is what it is for, and nothing else.
    """
    if program == "relay":
        return Rights(NOTHING, _names(*map(events_exchange, SERVICES), ENTRANCE), NOTHING)
    reads = [rf"rpc-{program}", rf"evt-\w+-\w+--{program}\.\w+"] if program in SERVICES else []
    reads += [rf"rpc-{program}\.batches"] if program in BATCHED else []
    if program not in CALLS:
        return Rights(NOTHING, _names(outlet(program)), _any_of(*reads))
    own = rf"rpc\.reply-{_reply_ids(program)}"
    return Rights(_any_of(own), _any_of(re.escape(outlet(program)), own), _any_of(*reads, own, RPC_EXCHANGE))


def topic_rights(program: str) -> dict[str, Rights]:
    """
    The routing keys under which *program* may send and listen, by exchange.

    Into its outlet, its calls, answers, and its own events to retry and to park: a message can be copied to more keys
    (RabbitMQ's headers CC and BCC), but what it is goes by the first. At the exchange of the answers it may listen to
    its own only.
    """
    called = CALLS.get(program, {})
    keys = [rf"{service}\.({'|'.join(methods)})" for service, methods in called.items()]
    keys += [rf"{service}\.({'|'.join(methods)})\.batch" for service, methods in in_batches(called).items() if methods]
    if program in SERVICES:
        own_events = rf"evt-\w+-\w+--{program}\.\w+"
        keys += [REPLY_ID, rf"([01]\.){{{LEVELS}}}{own_events}", own_events]
    topics = {outlet(program): Rights("", _any_of(*keys), NOTHING)} if keys else {}
    if program in CALLS:
        topics[RPC_EXCHANGE] = Rights("", NOTHING, _any_of(_reply_ids(program)))
    return topics


def _reply_ids(program: str) -> str:
    return f"{program}-{UUID}"


def _names(*names: str) -> str:
    return _any_of(*map(re.escape, names))


def _any_of(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"
