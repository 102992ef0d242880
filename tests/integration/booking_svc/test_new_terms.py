"""Terms that take something away: decided on real servers, while everybody buys."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from booking_svc.contract import CapacityBelowSold, Refusal, SalesTerms, SoldOut, TicketsUnavailable
from booking_svc.cuts import cuts_between
from rabbitmq.errors import Unavailable
from tests.integration.booking_svc.crowd import all_at_once
from tests.integration.booking_svc.keys import forget
from tests.integration.booking_svc.process import Process
from tests.unit.booking_svc.concerts import hall, items, new_id, seats, terms

NewProcess = Callable[[], Process]


def standing(concert_id: str, capacity: int, version: int = 1, **more: Any) -> Any:
    return terms(concert_id, version=version, capacities={"standing": capacity}, **more)


def test_cut_to_what_is_sold_and_held_is_taken_and_one_below_is_not(process: Process, concert_id: str) -> None:
    process.new_terms.set(standing(concert_id, 10))
    for buyer in "abcd":
        booking, _ = process.box_office.book(buyer, new_id(), concert_id, items(standing=1))
    process.box_office.cancel("d", booking["_id"])
    process.box_office.hold("e", new_id(), concert_id, items(standing=2))
    with pytest.raises(CapacityBelowSold) as refusal:
        process.new_terms.set(standing(concert_id, 4, version=2))
    assert refusal.value.args == ("standing", "5")
    assert process.available(concert_id) == {"standing": 5}, "nothing has changed"
    assert process.terms.newest(concert_id).version == 1
    process.new_terms.set(standing(concert_id, 5, version=3))
    assert process.available(concert_id) == {"standing": 0}
    with pytest.raises(SoldOut):
        process.box_office.book("f", new_id(), concert_id, items(standing=1))


def test_same_terms_again_are_not_decided_again(process: Process, concert_id: str) -> None:
    """concert_svc repeats what it does not know the answer to."""
    process.new_terms.set(standing(concert_id, 3))
    process.new_terms.set(standing(concert_id, 1, version=2))
    process.box_office.book("a", new_id(), concert_id, items(standing=1))
    process.new_terms.set(standing(concert_id, 1, version=2))
    assert process.terms.newest(concert_id).version == 2


def test_cut_that_nobody_finished_sells_no_more_than_it_would_and_can_be_set_again(
    process: Process, concert_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.new_terms.set(standing(concert_id, 5))

    def die(*_: Any, **__: Any) -> None:
        raise Unavailable("killed")

    with monkeypatch.context() as mortal, pytest.raises(Unavailable):
        mortal.setattr(type(process.inventory), "set_terms", die)
        process.new_terms.set(standing(concert_id, 2, version=2))
    assert process.available(concert_id) == {"standing": 2}
    process.box_office.book("a", new_id(), concert_id, items(standing=2))
    with pytest.raises(SoldOut):
        process.box_office.book("b", new_id(), concert_id, items(standing=1))
    process.new_terms.set(standing(concert_id, 2, version=2))
    assert process.terms.newest(concert_id).version == 2


def test_seats_are_taken_off_sale_all_or_none(process: Process, concert_id: str) -> None:
    def seated(version: int, *blocked: str) -> Any:
        return terms(
            concert_id, version=version, capacities={}, seating={"stalls": hall("1", blocked_seats=[*blocked])}
        )

    process.new_terms.set(seated(1))
    process.box_office.book("a", new_id(), concert_id, seats("stalls", "B-1-1"))
    held = process.box_office.hold("b", new_id(), concert_id, seats("stalls", "B-1-2"))
    with pytest.raises(TicketsUnavailable) as refusal:
        process.new_terms.set(seated(2, "B-1-1", "B-1-2", "B-1-3"))
    assert refusal.value.args == ("B-1-1", "B-1-2")
    assert process.available(concert_id) == {"stalls": 4}
    process.box_office.release_hold("b", held["id"])
    process.new_terms.set(seated(3, "B-1-2", "B-1-3"))
    assert process.available(concert_id) == {"stalls": 3}
    with pytest.raises(TicketsUnavailable):
        process.box_office.hold("b", new_id(), concert_id, seats("stalls", "B-1-3"))
    process.new_terms.set(seated(4, "B-1-2"))
    process.box_office.hold("b", new_id(), concert_id, seats("stalls", "B-1-3"))


def test_cut_waits_until_a_loss_of_redis_has_settled(process: Process, redis: Redis, concert_id: str) -> None:
    """A booking that was under way may still be written, and Redis does not know of it."""
    process.new_terms.set(standing(concert_id, 5))
    lines = process.terms.in_force(concert_id)
    assert lines is not None
    long_ago = lines[1][0].set_at - timedelta(minutes=1)
    process.terms._terms.update_one({"_id": concert_id}, {"$set": {"versions.0.set_at": long_ago}})
    forget(redis, concert_id)
    with pytest.raises(Unavailable):
        process.new_terms.set(standing(concert_id, 2, version=2))
    redis.hset(f"{{{concert_id}}}:terms", "settle_at", 1)  # the fifteen seconds have passed
    process.new_terms.set(standing(concert_id, 2, version=2))
    assert process.available(concert_id) == {"standing": 2}


def cut_while_all_buy(new_process: NewProcess, set_terms: Callable[[Process, SalesTerms], None]) -> tuple[bool, int]:
    """Thirty buyers, and a cut from 30 to 12 in their midst. Returns whether it was taken, and how many bought."""
    concert_id, processes = new_id(), [new_process() for _ in range(4)]
    processes[0].new_terms.set(standing(concert_id, 30))

    def act(number: int) -> str:
        process = processes[number % 4]
        try:
            if number == 15:
                set_terms(process, standing(concert_id, 12, version=2))
                return "cut"
            process.box_office.book(f"u{number}", new_id(), concert_id, items(standing=1))
            return "bought"
        except Refusal:
            return "refused"

    answers = all_at_once(31, act)
    return answers[15] == "cut", answers.count("bought")


def test_never_more_is_sold_than_a_cut_leaves(new_process: NewProcess) -> None:
    for _ in range(6):
        taken, bought = cut_while_all_buy(new_process, lambda process, cut: process.new_terms.set(cut))
        assert bought <= 12 if taken else 12 <= bought <= 30


def test_negative_control_without_the_decision_a_cut_leaves_too_many(new_process: NewProcess) -> None:
    undecided = [
        cut_while_all_buy(new_process, lambda process, cut: process.inventory.set_terms(cut)) for _ in range(6)
    ]
    assert any(bought > 12 for _, bought in undecided)


def test_no_seat_is_both_sold_and_taken_off_sale(new_process: NewProcess) -> None:
    for _ in range(6):
        concert_id = new_id()
        processes = [new_process() for _ in range(4)]
        before = terms(concert_id, capacities={}, seating={"stalls": hall("1", "2", seats_per_row=8)})
        blocked = ["B-1-1", "B-1-2"]
        after = terms(
            concert_id, version=2, capacities={},
            seating={"stalls": hall("1", "2", seats_per_row=8, blocked_seats=blocked)},
        )  # fmt: skip
        assert cuts_between(before, after).seats == {"stalls": blocked}
        processes[0].new_terms.set(before)

        def act(number: int) -> bool:
            process = processes[number % 4]  # noqa: B023
            try:
                if number == 4:
                    process.new_terms.set(after)  # noqa: B023
                else:
                    seat = f"B-1-{number % 2 + 1}"
                    process.box_office.book(f"u{number}", new_id(), concert_id, seats("stalls", seat))  # noqa: B023
            except Refusal:
                return False
            return True

        done = all_at_once(9, act)
        bought = sum(done) - done[4]
        assert bought == 0 if done[4] else bought >= 1
