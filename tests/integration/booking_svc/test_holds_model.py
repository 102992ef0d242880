"""Whatever happens in whatever order, the counts are those of a dictionary of claims."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis import Redis

from booking_svc.contract import LimitReached, RequestInProgress, SoldOut
from booking_svc.domain import ticket_types_claimed
from booking_svc.holds import Holds
from tests.integration.booking_svc.keys import forget
from tests.unit.booking_svc.concerts import new_id, terms
from tests.unit.booking_svc.holds_contract import available

CAPACITIES, LIMIT = {"standing": 5, "balcony": 3}, 4
owners = st.sampled_from(["b1", "b2", "b3", "b4", "b5"])
buyers = st.sampled_from(["ada", "bob"])
wanted = st.dictionaries(st.sampled_from(sorted(CAPACITIES)), st.integers(1, 3), min_size=1)


class HoldsMachine(RuleBasedStateMachine):
    """`owned` says who has which claim, `held` which owners may still lose theirs by waiting."""

    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.concert_id = new_id()
        self.holds = Holds(self.redis)
        self.on_sale = terms(self.concert_id, capacities=CAPACITIES, limit=LIMIT)
        self.holds.load(self.on_sale, [])
        self.owned: dict[str, str] = {}
        self.held: dict[str, list[str]] = {}
        self.given: list[tuple[str, list[str]]] = []

    def teardown(self) -> None:
        forget(self.redis, self.concert_id)

    @rule(owner=owners, buyer=buyers, wanted=wanted)
    def place(self, owner: str, buyer: str, wanted: dict[str, int]) -> None:
        refusal = self.refusal(owner, buyer, wanted)
        if refusal is not None:
            with pytest.raises(refusal):
                self.holds.place(self.concert_id, owner, buyer, wanted)
            return
        claims = self.holds.place(self.concert_id, owner, buyer, wanted).claims
        assert not set(claims) & set(self.owned), "handed out twice"
        assert Counter(ticket_types_claimed(claims)) == Counter(wanted)
        assert sum(claim.startswith(f"buyer:{buyer}:") for claim in claims) == sum(wanted.values())
        self.owned.update(dict.fromkeys(claims, owner))
        self.held[owner] = claims
        self.given.append((owner, claims))

    @rule(owner=owners)
    def settle(self, owner: str) -> None:
        assert self.holds.settle(self.concert_id, owner) == (self.held.pop(owner, None) is not None)

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        owner, claims = data.draw(st.sampled_from(self.given))  # perhaps for the second time
        self.holds.release(self.concert_id, owner, claims)
        self.lose(owner, claims)

    @rule(owner=owners)
    def expire(self, owner: str) -> None:
        self.redis.zadd(f"{{{self.concert_id}}}:holds", {owner: 1}, xx=True)
        self.lose(owner, self.held.get(owner, []))

    @rule(winner=owners, number=st.integers(1, 5))
    def mark_sold(self, winner: str, number: int) -> None:
        claims = [f"unit:standing:{number}", f"buyer:cy:{number}"]
        self.holds.mark_sold(self.concert_id, winner, claims)
        self.owned.update(dict.fromkeys(claims, winner))

    @rule()
    def reload(self) -> None:
        sold: dict[str, list[str]] = {}
        for claim, owner in self.owned.items():
            if claim not in self.held.get(owner, []):
                sold.setdefault(owner, []).append(claim)
        self.holds.load(self.on_sale, list(sold.items()))

    @invariant()
    def counts_are_right(self) -> None:
        assert available(self.holds, self.concert_id) == {
            code: capacity - self.taken(code) for code, capacity in CAPACITIES.items()
        }

    @invariant()
    def owners_are_right(self) -> None:
        stored = self.redis.hgetall(f"{{{self.concert_id}}}:claims")
        assert {claim.decode(): owner.decode() for claim, owner in stored.items()} == self.owned

    @invariant()
    def no_number_is_beyond_the_capacity(self) -> None:
        for claim in self.owned:
            kind, code, number = claim.split(":")
            assert kind == "buyer" or int(number) <= CAPACITIES[code]

    def taken(self, code: str) -> int:
        return ticket_types_claimed(self.owned).count(code)

    def refusal(self, owner: str, buyer: str, wanted: dict[str, int]) -> type[Exception] | None:
        if owner in self.held:
            return RequestInProgress
        if any(self.taken(code) + quantity > CAPACITIES[code] for code, quantity in wanted.items()):
            return SoldOut
        slots = sum(f"buyer:{buyer}:{slot}" in self.owned for slot in range(1, LIMIT + 1))
        return LimitReached if slots + sum(wanted.values()) > LIMIT else None

    def lose(self, owner: str, claims: list[str]) -> None:
        self.held.pop(owner, None)
        for claim in claims:
            if self.owned.get(claim) == owner:
                del self.owned[claim]


def test_counts_are_right_whatever_happens(redis: Redis) -> None:
    machine = type("Machine", (HoldsMachine,), {"redis": redis})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
