"""The audit finds each kind of corruption, names what is corrupt, and finds nothing where all is well."""

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from booking_svc.audit import checks
from booking_svc.audit.__main__ import report
from booking_svc.audit.checks import INVARIANTS, Breach, HoldInRedis, InRedis
from booking_svc.domain import BookingDocument, Version
from booking_svc.marks import mark_of
from booking_svc.offer import Offer, Taken, Unit
from tests.unit.booking_svc.concerts import draft, hall, new_id, terms

ON_SEATS = {"stalls": hall("1", blocked_seats=["B-1-6"])}
ON_SALE = terms("c", capacities={"standing": 5}, limit=3, seating=ON_SEATS)
OFFER = Offer(ON_SALE)


class Sale(NamedTuple):
    """Ada has booked two places and a seat, Bob holds one of each, Cy has cancelled, Dee's hold has expired."""

    bookings: list[BookingDocument]
    redis: InRedis

    @property
    def ada(self) -> BookingDocument:
        return self.bookings[0]

    @property
    def ids(self) -> set[str]:
        return {booking["_id"] for booking in self.bookings}


def stored(booking: BookingDocument, status: str = "confirmed") -> BookingDocument:
    confirmed_at = booking["sales_close_at"] - timedelta(minutes=1)
    history = [{"status": "confirmed", "at": confirmed_at}]
    if status == "cancelled":
        history.append({"status": "cancelled", "at": confirmed_at})
    cancelled_at = confirmed_at if status == "cancelled" else None
    more = {"status": status, "confirmed_at": confirmed_at, "cancelled_at": cancelled_at, "history": history}
    return {**booking, **more}


@pytest.fixture
def sale() -> Sale:
    ada = stored(draft(ON_SALE, "standing:1", "standing:2", "stalls:3", user_id="ada"))
    cancelled = stored(draft(ON_SALE, "standing:3", user_id="cy"), "cancelled")
    bob = HoldInRedis("bobshold", Taken("bob", [1, 2], [Unit("standing", 4), Unit("stalls", 1)]), False, None, None)
    dee = HoldInRedis("deeshold", Taken("dee", [1], [Unit("standing", 5)]), True, None, None)
    ours = mark_of(ada["_id"])
    owners = {
        **dict.fromkeys([Unit("standing", 1), Unit("standing", 2), Unit("stalls", 3)], ours),
        **dict.fromkeys(bob.taken.units, bob.mark),
        **dict.fromkeys(dee.taken.units, dee.mark),
    }
    slots = {("ada", n): ours for n in (1, 2, 3)} | {("bob", n): bob.mark for n in (1, 2)} | {("dee", 1): dee.mark}
    bits = {"standing": {1, 2, 4, 5}, "stalls": {1, 3, 6}}
    return Sale([ada, cancelled], InRedis(owners, bits, slots, [bob, dee], checks.terms_told(OFFER)))


def breaches(sale: Sale) -> list[Breach]:
    return list(checks.concert(OFFER, sale.bookings, sale.redis))


def test_nothing_is_found_where_all_is_well(sale: Sale) -> None:
    assert breaches(sale) == []
    assert list(checks.concert(OFFER, sale.bookings, None)) == []  # Redis does not have it


def test_hold_that_is_just_becoming_a_booking_is_well(sale: Sale) -> None:
    mine = mark_of(sale.ada["_id"])
    direct = HoldInRedis(mine, OFFER.taken_by(sale.ada["claims"]), False, sale.ada["_id"], mine)
    of_a_hold = HoldInRedis("adashold", OFFER.taken_by(sale.ada["claims"]), False, sale.ada["_id"], mine)
    sale.redis.holds += [direct, of_a_hold]  # type: ignore[operator]
    assert breaches(sale) == []


def sell_twice(sale: Sale) -> str:
    other = stored(draft(ON_SALE, "standing:1", user_id="eve"))
    sale.bookings.append(other)
    return str(other["_id"])


def pass_the_limit(sale: Sale) -> str:
    sale.bookings.append(stored(draft(ON_SALE, "stalls:5", user_id="ada", first_slot=4)))
    return "ada"


def pass_the_limit_by_holding(sale: Sale) -> str:
    sale.redis.holds[0].taken.units.extend([Unit("standing", 6), Unit("standing", 7)])
    sale.redis.holds[0].taken.slots.extend([3, 4])
    return "bob"


def pass_the_limit_by_what_is_not_offered_any_more(sale: Sale) -> str:
    sale.bookings.append(stored(draft(ON_SALE, "stalls:5", user_id="ada", first_slot=4)))
    sale.bookings[-1]["claims"] = ["unit:lawn:1", "buyer:ada:4"]
    return "ada"


def sell_too_many(sale: Sale) -> str:
    sale.bookings.append(stored(draft(ON_SALE, *(f"standing:{n}" for n in range(6, 9)), user_id="eve")))
    return "standing"


def sell_a_blocked_seat(sale: Sale) -> str:
    sale.bookings.append(stored(draft(ON_SALE, "stalls:6", user_id="eve")))
    return str(sale.bookings[-1]["_id"])


def free_a_sold_unit(sale: Sale) -> str:
    del sale.redis.owners[Unit("stalls", 3)]  # type: ignore[attr-defined]
    sale.redis.bits["stalls"].remove(3)
    return "B-1-3"


def free_a_held_unit(sale: Sale) -> str:
    del sale.redis.owners[Unit("standing", 4)]  # type: ignore[attr-defined]
    sale.redis.bits["standing"].remove(4)
    return "bobshold"


def give_a_sold_unit_to_another(sale: Sale) -> str:
    sale.redis.owners[Unit("standing", 1)] = "eveshold"  # type: ignore[index]
    return str(sale.ada["_id"])


def free_a_slot(sale: Sale) -> str:
    del sale.redis.slots["ada", 2]  # type: ignore[attr-defined]
    return "slot 2 of user ada"


def leak_a_unit(sale: Sale) -> str:
    sale.redis.owners[Unit("standing", 3)] = mark_of(sale.bookings[1]["_id"])  # type: ignore[index]  # of the cancelled
    sale.redis.bits["standing"].add(3)
    return "standing:3"


def leak_a_slot(sale: Sale) -> str:
    sale.redis.slots["eve", 1] = "eveshold"  # type: ignore[index]
    return "slot 1 of user eve"


def keep_a_hold_for_ever(sale: Sale) -> str:
    sale.redis.holds[1].is_listed = False
    return "deeshold"


def sell_by_other_terms(name: str, value: Any) -> Callable[[Sale], str]:
    def corrupt(sale: Sale) -> str:
        sale.redis.terms[name] = value  # type: ignore[index]
        return name

    corrupt.__name__ = f"sell_by_another_{name}"
    return corrupt


def leave_a_bit(sale: Sale) -> str:
    sale.redis.bits["stalls"].add(2)
    return "stalls:B-1-2"


def lose_a_bit(sale: Sale) -> str:
    sale.redis.bits["standing"].remove(2)
    return "standing:2"


def change(field: str, value: Any) -> Callable[[Sale], str]:
    def corrupt(sale: Sale) -> str:
        sale.ada[field] = value(copy.deepcopy(sale.ada)) if callable(value) else value
        return str(sale.ada["_id"])

    corrupt.__name__ = f"change_{field}"
    return corrupt


PLANTED: list[tuple[Callable[[Sale], str], str]] = [
    (sell_twice, "sold_once"),
    (pass_the_limit, "limit"),
    (pass_the_limit_by_holding, "limit"),
    (pass_the_limit_by_what_is_not_offered_any_more, "limit"),
    (sell_too_many, "capacity"),
    (sell_a_blocked_seat, "capacity"),
    (free_a_sold_unit, "not_free"),
    (free_a_held_unit, "not_free"),
    (give_a_sold_unit_to_another, "not_free"),
    (free_a_slot, "not_free"),
    (leak_a_unit, "not_lost"),
    (leak_a_slot, "not_lost"),
    (leave_a_bit, "not_lost"),
    (keep_a_hold_for_ever, "not_lost"),
    (sell_by_other_terms("limit", 50), "terms"),
    (sell_by_other_terms("closes", 1), "terms"),
    (sell_by_other_terms("type:standing", (5, {"amount": 1, "currency": "EUR"})), "terms"),
    (lose_a_bit, "not_free"),
    (change("claims", lambda b: b["claims"][1:]), "whole"),
    (change("claims", lambda b: [*b["claims"], b["claims"][0]]), "whole"),
    (change("claims", lambda b: [*b["claims"], "buyer:eve:1"]), "whole"),
    (change("tickets", lambda b: b["tickets"][1:]), "whole"),
    (change("tickets", lambda b: [{**t, "seat": "B-1-1"} for t in b["tickets"]]), "whole"),
    (change("tickets", lambda b: [{**t, "number": 1} for t in b["tickets"]]), "whole"),
    (change("total", {"amount": 1, "currency": "EUR"}), "whole"),
    (change("history", []), "whole"),
    (change("cancelled_at", lambda b: b["confirmed_at"]), "whole"),
    (change("idempotency_key", "another"), "one_key"),
    (change("confirmed_at", lambda b: b["sales_close_at"]), "in_time"),
    (change("sales_close_at", lambda b: b["sales_close_at"] + timedelta(seconds=1)), "in_time"),
]


@pytest.mark.parametrize(("corrupt", "invariant"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_corruption_is_found_and_named(sale: Sale, corrupt: Callable[[Sale], str], invariant: str) -> None:
    culprit = corrupt(sale)
    found = [breach.what for breach in breaches(sale) if breach.invariant == invariant]
    assert any(culprit in what for what in found), found


# --- terms that have changed


def version(number: int, **changes: Any) -> Version:
    """A version of the terms that was set an hour before sales close."""
    usual = {"sales_close_at": OFFER.closes, "max_tickets_per_user": 3, "set_at": OFFER.closes - timedelta(hours=1)}
    return Version(number, **{**usual, **changes})


def by_later_terms(sale: Sale, *versions: Version, **changes: Any) -> list[Breach]:
    """What is found when the concert is sold by version 2 now."""
    later = Offer({**ON_SALE, "version": 2, **changes})
    return list(checks.concert(later, sale.bookings, replace(sale.redis, terms=checks.terms_told(later)), versions))


def test_redis_may_sell_by_less_while_it_is_decided_whether_something_is_taken_off_sale(sale: Sale) -> None:
    fewer = Offer(terms("c", capacities={"standing": 4}, limit=3, seating=ON_SEATS))
    redis = replace(
        sale.redis, terms={**checks.terms_told(OFFER), "type:standing": (4, OFFER.types["standing"]["price"])}
    )
    assert {breach.invariant for breach in checks.concert(OFFER, sale.bookings, redis)} == {"terms"}
    assert list(checks.concert(OFFER, sale.bookings, redis, undecided=fewer)) == []


def test_who_bought_before_the_limit_was_lowered_keeps_what_they_have(sale: Sale) -> None:
    assert by_later_terms(sale, version(1), version(2, max_tickets_per_user=1), max_tickets_per_user=1) == []
    found = by_later_terms(sale, version(2, max_tickets_per_user=1), max_tickets_per_user=1)
    assert "user ada" in {breach.what for breach in found}


def test_booking_is_held_against_the_close_of_the_terms_it_was_sold_by(sale: Sale) -> None:
    sooner = OFFER.closes - timedelta(minutes=10)
    replaced = version(2, sales_close_at=sooner, set_at=sale.ada["confirmed_at"] + timedelta(seconds=1))
    terms_now = {"sales_close_at": sooner.isoformat()}
    assert by_later_terms(sale, version(1), replaced, **terms_now) == []
    other_close = version(1, sales_close_at=OFFER.closes + timedelta(seconds=1))
    assert {b.invariant for b in by_later_terms(sale, other_close, replaced, **terms_now)} == {"in_time"}


def test_booking_by_terms_that_were_replaced_long_before_is_found(sale: Sale) -> None:
    sooner = OFFER.closes - timedelta(minutes=10)
    replaced = version(2, sales_close_at=sooner, set_at=sale.ada["confirmed_at"] - timedelta(seconds=11))
    found = by_later_terms(sale, version(1), replaced, sales_close_at=sooner.isoformat())
    assert sale.ada["_id"] in str(found)
    under_way = replaced._replace(set_at=sale.ada["confirmed_at"] - timedelta(seconds=9))
    assert by_later_terms(sale, version(1), under_way, sales_close_at=sooner.isoformat()) == []


def test_booking_that_stands_when_all_were_cancelled_is_found(sale: Sale) -> None:
    [found] = checks.concert(OFFER, sale.bookings, sale.redis, called_off=True)
    assert (found.invariant, found.what) == ("called_off", f"booking {sale.ada['_id']}")


def test_seats_that_are_just_taken_off_sale_are_nobodys_tickets(sale: Sale) -> None:
    seats = [Unit("stalls", 2), Unit("stalls", 4)]
    off_sale = HoldInRedis("offsale!", Taken("", [], seats), False, None, None)
    sale.redis.holds.append(off_sale)  # type: ignore[attr-defined]
    sale.redis.owners.update(dict.fromkeys(seats, off_sale.mark))  # type: ignore[attr-defined]
    sale.redis.bits["stalls"] |= {2, 4}  # type: ignore[index]
    assert list(checks.concert(Offer({**ON_SALE, "max_tickets_per_user": 3}), sale.bookings, sale.redis)) == []


def test_every_invariant_of_a_concert_has_its_planted_corruption() -> None:
    assert {invariant for _, invariant in PLANTED} == INVARIANTS.keys() - {"codes", "mail", "called_off"}


def test_code_of_two_tickets_is_found() -> None:
    assert list(checks.codes([("a", "b1"), ("b", "b1"), ("c", "b2")])) == []
    [found] = checks.codes([("a", "b1"), ("b", "b1"), ("a", "b2")])
    assert "b1" in found.what and "b2" in found.what


def entry(booking_id: str, message_id: str = "<m1>", state: str = "sent", kind: str = "confirmation") -> dict[str, str]:
    return {"booking_id": booking_id, "message_id": message_id, "state": state, "kind": kind}


@pytest.mark.parametrize(
    ("entries", "states", "culprit"),
    [
        ([entry("b1")], {}, "<m1>"),
        ([entry("b1"), entry("b1", "<m2>")], {"b1": "sent"}, "b1"),
        ([], {"b1": "sent"}, "b1"),
        ([entry("b1", state="queued")], {"b1": "sent"}, "b1"),
    ],
)
def test_wrong_mail_is_found(entries: list[Any], states: dict[str, str], culprit: str) -> None:
    [found] = checks.mails(entries, states)
    assert culprit in found.what


def test_mails_on_their_way_are_well() -> None:
    entries = [entry("b1"), entry("b2", "<m2>", "sending"), entry("b3", "<m3>")]
    assert list(checks.mails(entries, {"b1": "sent", "b2": "queued", "b3": "queued", "b4": "queued"})) == []


def test_mail_that_failed_and_was_sent_when_asked_for_again_is_well() -> None:
    entries = [entry("b1", state="failed"), entry("b1", "<m2>", kind="resend-1")]
    assert list(checks.mails(entries, {"b1": "sent"})) == []


def test_report_has_a_line_for_each_invariant_and_the_culprits_below() -> None:
    assert report(set()).count("ok ") == len(INVARIANTS)
    text = report({Breach("limit", "c1", f"user {new_id()}") for _ in range(30)})
    assert "BREACH  Nobody has more" in text
    assert text.count("concert c1: user ") == 20 and "and 10 more" in text
