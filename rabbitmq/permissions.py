"""
Who may call whom, and what the user of each program may do in the broker.

A program writes to one exchange, its outlet. What it reaches from there is a matter of bindings (`topology.py`),
which nobody but an operator can change. So it makes no difference by what way a message gets into the outlet: also
what the broker itself puts there, because a program has declared a queue that dead-letters into it, goes no further.
"""

import re
from typing import NamedTuple

from rabbitmq.delays import ENTRANCE
from rabbitmq.names import RPC_EXCHANGE, SERVICES, events_exchange, outlet

#: Who calls which methods of whom. A call that is not here does not reach its service.
CALLS: dict[str, dict[str, tuple[str, ...]]] = {
    "gateway": {
        "auth_svc": (
            "change_password",
            "end_all_sessions",
            "end_session",
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
        ),
        "mailer_svc": ("ping",),
    },
    "concert_svc": {
        "booking_svc": ("find_available", "set_sales_terms"),
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


def rights(program: str) -> Rights:
    """
    What *program* may do: send through its outlet, take from its own queues, wait for answers.

    The relay has no outlet: it may tell every event, now or later, which is what it is for, and nothing else.
    """
    if program == "relay":
        return Rights(NOTHING, _names(*map(events_exchange, SERVICES), ENTRANCE), NOTHING)
    reads = [rf"rpc-{program}", rf"evt-\w+-\w+--{program}\.\w+"] if program in SERVICES else []
    if program not in CALLS:
        return Rights(NOTHING, _names(outlet(program)), _any_of(*reads))
    own = rf"rpc\.reply-{_reply_ids(program)}"
    return Rights(_any_of(own), _any_of(re.escape(outlet(program)), own), _any_of(*reads, own, RPC_EXCHANGE))


def topic_rights(program: str) -> Rights | None:
    """
    The routing keys that *program* may bind a queue of answers to: its own, so that it overhears nobody.

    None for who may bind nothing. Writing needs no word: nobody but operators may write to that exchange.
    """
    return Rights("", NOTHING, _any_of(_reply_ids(program))) if program in CALLS else None


def _reply_ids(program: str) -> str:
    return rf"{program}-[0-9a-f-]{{36}}"


def _names(*names: str) -> str:
    return _any_of(*map(re.escape, names))


def _any_of(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"
