"""The audit log in a real MongoDB."""

import time
from uuid import uuid4

from auth_svc.audit_log import AuditLog
from auth_svc.contract import Origin
from tests.polling import poll

ORIGIN = Origin(address="192.0.2.1", device="curl/8")


def wait_for_the_next_millisecond() -> None:
    now = time.time_ns() // 1_000_000
    poll(lambda: time.time_ns() // 1_000_000 > now, every=0.0005)


def test_entry_says_who_did_what_to_whom_from_where(audit_log: AuditLog) -> None:
    user = uuid4().hex
    audit_log.add("roles_changed", user, "admin-1", ORIGIN, "request-1", {"roles": ["admin"]})
    [entry] = audit_log.page(user, None, 10, None)["items"]
    assert {**entry, "id": "", "at": ""} == {
        "id": "", "at": "", "event": "roles_changed", "user_id": user, "actor_id": "admin-1", "address": "192.0.2.1",
        "device": "curl/8", "request_id": "request-1", "details": {"roles": ["admin"]},
    }  # fmt: skip


def test_entries_come_newest_first_in_pages_of_one_user_or_kind(audit_log: AuditLog) -> None:
    user, event = uuid4().hex, f"event_{uuid4().hex}"
    for number in range(5):
        audit_log.add(event if number % 2 else "other", user, user, ORIGIN, str(number), {})
        wait_for_the_next_millisecond()  # those of the same one come in any order
    first = audit_log.page(user, None, 3, None)
    rest = audit_log.page(user, None, 3, first["next_cursor"])
    assert [entry["request_id"] for entry in [*first["items"], *rest["items"]]] == ["4", "3", "2", "1", "0"]
    assert rest["next_cursor"] is None
    assert [entry["request_id"] for entry in audit_log.page(None, event, 10, None)["items"]] == ["3", "1"]


def test_log_offers_nothing_to_change_or_remove() -> None:
    assert {name for name in vars(AuditLog) if not name.startswith("_")} == {"add", "page"}
