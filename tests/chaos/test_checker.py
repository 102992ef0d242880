"""That the checker can see: facts as they should be, doctored in one way after the other, and what it finds."""

import json
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.chaos.checker import CONNECTIONS, INVARIANTS, Facts, breaches
from tests.chaos.history import Asked


def asked(what: str, key: str | None = None, status: int | None = 201, **more: object) -> Asked:
    body = json.dumps({"id": f"b-{key}", **more.pop("says", {})}).encode()  # type: ignore[dict-item]
    fields = {"person": "ada", "subject": None, "sent": 0.0, "took": 0.1, "retry_after": True, **more}
    return Asked(what, key=key, status=status, body=body, **fields)  # type: ignore[arg-type]


def booking(key: str, unit: int, status: str = "confirmed") -> dict[str, object]:
    claims = [f"unit:standing:{unit}", f"buyer:ada:{unit}"]
    common = {"user_id": "ada", "idempotency_key": key, "concert_id": "c", "tickets": [{}], "claims": claims}
    return {"_id": f"b-{key}", "status": status, "confirmed_at": datetime.fromtimestamp(1000, UTC), **common}


def mail(booking_id: str, number: int = 0) -> dict[str, object]:
    return {"booking_id": booking_id, "message_id": f"<{booking_id}.{number}>"}


@pytest.fixture
def facts() -> Facts:
    """Three bookings, one of them asked for twice, one cancelled; one that was refused."""
    return Facts(
        asked=[
            asked("book", "1", None),
            asked("book", "1"),
            asked("book", "1"),
            asked("book", "2"),
            asked("book", "3"),
            asked("book", "4", 409),
            asked("cancel", None, 200, subject="b-3"),
            asked("after logout", None, 401),
            asked("read", None, 503),
            asked("book", "6", 409, subject="t", sent=10.0, says={"code": "sales_closed"}),
            asked("read", None, 401, token=19.0, sent=20.0, says={"code": "token_expired"}),
            asked("read", None, 401, token=21.0, sent=30.0, says={"code": "not_authenticated"}),
        ],
        bookings=[booking("1", 1), booking("2", 2), booking("3", 1, "cancelled")],
        confirmations=[mail("b-1"), mail("b-2"), mail("b-3")],
        mails=Counter({"<b-1.0>": 1, "<b-2.0>": 1, "<b-3.0>": 1}),
        capacity={"c": 2},
        unpublished=0,
        parked=0,
        may_copy=0,
        audit="",
        wrong_clock=[(19.5, 22.0)],
        closes={"t": 1010.5},
        unsaved=0,
        epoch=1000.0,
    )


def lose_one(facts: Facts) -> None:
    del facts.bookings[0]


def store_another(facts: Facts) -> None:
    facts.bookings[0]["_id"] = "b-other"
    facts.confirmations[0] = mail("b-other")
    facts.mails["<b-other.0>"] = 1


def cancel_unasked(facts: Facts) -> None:
    facts.bookings[1]["status"] = "cancelled"


def forget_the_cancel(facts: Facts) -> None:
    facts.bookings[2] |= {"status": "confirmed", "concert_id": "d"}


def invent_one(facts: Facts) -> None:
    facts.bookings.append(booking("5", 5, "cancelled"))
    facts.asked.append(asked("cancel", None, 200, subject="b-5"))


def keep_what_was_refused(facts: Facts) -> None:
    facts.bookings.append({**booking("4", 4), "concert_id": "d"})
    facts.confirmations.append(mail("b-4"))
    facts.mails["<b-4.0>"] = 1


def store_twice(facts: Facts) -> None:
    facts.bookings.append({**booking("1", 9), "concert_id": "d"})


def answer_otherwise(facts: Facts) -> None:
    facts.asked.append(asked("book", "1", says={"total": 1}))


def sell_twice(facts: Facts) -> None:
    facts.bookings[1]["claims"] = facts.bookings[0]["claims"]


def sell_too_much(facts: Facts) -> None:
    facts.capacity["c"] = 1


def lose_a_mail(facts: Facts) -> None:
    del facts.mails["<b-2.0>"]


def write_twice(facts: Facts) -> None:
    facts.confirmations.append(mail("b-2", 1))


def write_of_nothing(facts: Facts) -> None:
    facts.confirmations.append(mail("b-9"))


def copy_one(facts: Facts) -> None:
    facts.mails["<b-2.0>"] = 2


def leave_an_event(facts: Facts) -> None:
    facts.unpublished = 1


def park_one(facts: Facts) -> None:
    facts.parked = 1


def fail_badly(facts: Facts) -> None:
    facts.asked.append(asked("read", None, 500))


def say_not_when(facts: Facts) -> None:
    facts.asked.append(replace(asked("read", None, 503), retry_after=False))


def let_in(facts: Facts) -> None:
    facts.asked.append(asked("after logout", None, 200))


def breach_an_invariant(facts: Facts) -> None:
    facts.audit = "BREACH"


def refuse_a_good_token(facts: Facts) -> None:
    facts.asked.append(asked("read", None, 401, token=25.0, sent=30.0, says={"code": "token_expired"}))


def forget_a_session(facts: Facts) -> None:
    facts.asked.append(asked("read", None, 401, token=19.0, sent=20.0, says={"code": "session_ended"}))


def sell_too_late(facts: Facts) -> None:
    facts.closes["c"] = 1000.0


def close_too_early(facts: Facts) -> None:
    facts.closes["t"] = 1012.0


def leave_one_open(facts: Facts) -> None:
    facts.unsaved = 1


DOCTORED: dict[Callable[[Facts], None], str] = {
    lose_one: "lost",
    store_another: "lost",
    cancel_unasked: "lost",
    forget_the_cancel: "lost",
    invent_one: "phantom",
    keep_what_was_refused: "phantom",
    store_twice: "twice",
    answer_otherwise: "twice",
    sell_twice: "oversold",
    sell_too_much: "oversold",
    lose_a_mail: "mail",
    write_twice: "mail",
    write_of_nothing: "mail",
    copy_one: "copies",
    leave_an_event: "untold",
    park_one: "untold",
    fail_badly: "answers",
    say_not_when: "answers",
    let_in: "session",
    refuse_a_good_token: "token",
    forget_a_session: "token",
    sell_too_late: "closing",
    close_too_early: "closing",
    leave_one_open: "closing",
    breach_an_invariant: "audit",
}


def test_nothing_is_found_where_all_is_as_it_should_be(facts: Facts) -> None:
    assert list(breaches(facts)) == []


@pytest.mark.parametrize("doctor", DOCTORED, ids=lambda doctor: doctor.__name__)
def test_what_is_wrong_is_found(facts: Facts, doctor: Callable[[Facts], None]) -> None:
    doctored = deepcopy(facts)
    doctor(doctored)
    assert DOCTORED[doctor] in {breach.invariant for breach in breaches(doctored)}


def test_each_invariant_has_facts_that_breach_it() -> None:
    assert set(DOCTORED.values()) == INVARIANTS.keys()


def test_copies_that_a_fault_explains_are_none(facts: Facts) -> None:
    copy_one(facts)
    facts.may_copy = 1
    assert list(breaches(facts)) == []
    facts.mails["<b-2.0>"] = 2 + CONNECTIONS
    assert [breach.invariant for breach in breaches(facts)] == ["copies"]
