"""What holds and counts promise, whether they lie in Redis or in the model of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from booking_svc import domain
from booking_svc.contract import (
    ConcertCancelled,
    HoldExpired,
    IdempotencyKeyReused,
    Item,
    LimitReached,
    NotOnSaleYet,
    Refusal,
    RequestInProgress,
    SalesClosed,
    SalesTerms,
    SoldOut,
    UnknownTicketType,
)
from booking_svc.counts import Counts, Sold
from booking_svc.domain import Hold, HoldKey
from booking_svc.holds import LIFE, LONGEST, HoldRequest, Holds
from booking_svc.offer import Offer, Taken, Unit
from booking_svc.scripts import CountDue, Doubt, InDoubt, NotLoaded, SeatsTaken
from tests.polling import poll
from tests.unit.booking_svc.concerts import hall, items, seats, terms

#: Milliseconds. A test that must act before a hold expires gives it more.
SHORT_LIFE, ENOUGH = 30, 600


class Stall:
    """A concert on sale, and a shorthand for what its buyers ask."""

    def __init__(self, holds: Holds, counts: Counts, on_sale: SalesTerms) -> None:
        self.holds, self.counts, self.offer = holds, counts, Offer(on_sale)
        self.id = self.offer.concert_id
        self.made: dict[str, Hold] = {}  # by the nonce or the booking's id

    def load(self, sold: Sold = (), on_sale: SalesTerms | None = None) -> None:
        """What a stocktake does."""
        if on_sale:
            self.offer = Offer(on_sale)
        count = self.counts.begin(self.id)
        assert count is not None
        with self.counts.alive(count):
            assert self.counts.load(count, self.offer, sold)

    def request(self, buyer: str, asked: Sequence[Item], fingerprint: str | None = None) -> HoldRequest:
        return HoldRequest(buyer, asked, self.offer.wanted(asked), fingerprint or domain.fingerprint(self.id, asked))

    def hold(self, owner: str, buyer: str, asked: Sequence[Item], life: int = LIFE) -> Hold:
        self.made[owner] = self.holds.place(self.id, owner, self.request(buyer, asked), life)
        return self.made[owner]

    def hold_for_booking(self, booking_id: str, buyer: str, asked: Sequence[Item], **how: Any) -> Hold:
        self.made[booking_id] = self.holds.place_for_booking(self.id, booking_id, self.request(buyer, asked), **how)
        return self.made[booking_id]

    def key(self, nonce: str) -> HoldKey:
        return HoldKey(self.id, nonce, self.made[nonce].born)

    def find(self, nonce: str, buyer: str) -> Hold:
        return self.holds.find(self.key(nonce), buyer)

    def extend(self, nonce: str, buyer: str, **how: Any) -> Hold:
        return self.holds.extend(self.key(nonce), buyer, **how)

    def release_hold(self, nonce: str, buyer: str) -> None:
        self.holds.release_hold(self.key(nonce), buyer)

    def begin_booking(self, nonce: str, buyer: str, booking_id: str, **how: Any) -> Hold:
        return self.holds.begin_booking(self.key(nonce), buyer, booking_id, **how)

    def settle(self, booking_id: str, made_of: str | None = None) -> bool:
        return self.holds.settle(self.id, booking_id, self.made[made_of or booking_id].mark)

    def sell(self, booking_id: str, buyer: str, asked: Sequence[Item]) -> Taken:
        taken = self.hold_for_booking(booking_id, buyer, asked).taken
        assert self.settle(booking_id)
        return taken

    def refused(self, buyer: str, asked: Sequence[Item], refusal: type[Exception], owner: str = "refused") -> bool:
        """Whether *buyer* asks in vain, also after the count that may be due."""
        try:
            try:
                self.hold(owner, buyer, asked)
            except CountDue:
                self.load(self.sold())
                self.hold(owner, buyer, asked)
        except refusal:
            return True
        return False

    def sold(self) -> Sold:
        """What MongoDB would say; a test that sells and is then refused says it itself."""
        return []

    def available(self) -> Mapping[str, int]:
        return available(self.holds, self.id)

    def states(self) -> dict[str, str]:
        letters = self.holds.seats(self.id, {c: p.size for c, p in self.offer.plans.items()}, None).letters
        assert letters is not None
        return letters

    def names(self, hold: Hold) -> list[str | None]:
        return [self.offer.seat_of(unit) for unit in hold.taken.units]


class HoldsContract:
    """Needs the fixtures `holds`, `counts` (of the same Redis) and `concert_id`, a concert nobody else uses."""

    @pytest.fixture
    def stall(self, holds: Holds, counts: Counts, concert_id: str) -> Callable[..., Stall]:
        def open_stall(sold: Sold = (), **on_sale: Any) -> Stall:
            stall = Stall(holds, counts, terms(concert_id, **on_sale))
            stall.load(sold)
            return stall

        return open_stall

    @pytest.fixture
    def small(self, stall: Callable[..., Stall]) -> Stall:
        """3 standing, 2 balcony places."""
        return stall()

    # --- taking

    def test_hold_takes_all_of_several_ticket_types(self, small: Stall) -> None:
        hold = small.hold("h", "ada", items(standing=2, balcony=1))
        assert hold.taken == Taken("ada", [1, 2, 3], [Unit("standing", 1), Unit("standing", 2), Unit("balcony", 1)])
        assert hold.items == items(standing=2, balcony=1)
        assert {code: price["amount"] for code, price in hold.prices.items()} == {"standing": 4500, "balcony": 8000}
        assert small.available() == {"standing": 1, "balcony": 1}

    def test_hold_tells_by_which_terms_it_was_placed_and_until_when(self, stall: Callable[..., Stall]) -> None:
        before = datetime.now(UTC)
        hold = stall(version=7).hold("h", "ada", items(standing=1))
        assert hold.version == 7
        assert timedelta(minutes=9) < hold.expires_at - before < timedelta(minutes=11)

    def test_hold_ends_when_sales_do(self, stall: Callable[..., Stall]) -> None:
        shop = stall(closes_in=timedelta(minutes=5))
        assert abs(shop.hold("h", "ada", items(standing=1)).expires_at - shop.offer.closes) < timedelta(seconds=0.01)

    @pytest.mark.parametrize(
        ("wanted", "refusal"),
        [
            (items(standing=1, balcony=3), SoldOut),
            (items(balcony=3, standing=1), SoldOut),
            ([*items(standing=2), *items(standing=2)], SoldOut),
            (items(standing=3, balcony=2), LimitReached),
        ],
        ids=str,
    )
    def test_refused_hold_changes_nothing(
        self, stall: Callable[..., Stall], wanted: list[Item], refusal: type[Refusal]
    ) -> None:
        shop = stall(limit=4)
        assert shop.refused("ada", wanted, refusal)
        assert shop.available() == {"standing": 3, "balcony": 2}
        assert len(shop.hold("h", "ada", items(standing=3, balcony=1)).taken.units) == 4

    def test_what_the_terms_do_not_know_cannot_be_held(self, small: Stall) -> None:
        request = small.request("ada", items(standing=1))
        unknown = request._replace(wanted=[*request.wanted, request.wanted[0]._replace(ticket_type="backstage")])
        with pytest.raises(UnknownTicketType):
            small.holds.place(small.id, "h", unknown)
        assert small.available() == {"standing": 3, "balcony": 2}

    def test_all_that_is_free_can_be_held_and_no_more(self, small: Stall) -> None:
        small.hold("first", "ada", items(standing=3, balcony=2))
        assert small.refused("bob", items(standing=1), SoldOut)

    def test_lowest_number_that_is_free_is_given(self, stall: Callable[..., Stall]) -> None:
        shop = stall(capacities={"standing": 9})
        shop.hold("a", "ada", items(standing=2))
        shop.hold("b", "bob", items(standing=2))
        shop.release_hold("a", "ada")
        assert [unit.number for unit in shop.hold("c", "cy", items(standing=3)).taken.units] == [1, 2, 5]

    # --- the limit

    def test_limit_counts_what_the_buyer_holds_and_what_is_sold_to_him(self, stall: Callable[..., Stall]) -> None:
        shop = stall(limit=3)
        booked = shop.sell("sold", "ada", items(standing=1))
        shop.sold = lambda: [("sold", shop.offer.claims_of(booked))]  # type: ignore[method-assign]
        shop.hold("held", "ada", items(balcony=1))
        assert shop.refused("ada", items(standing=2), LimitReached)
        shop.hold("just enough", "ada", items(standing=1))
        assert shop.refused("ada", items(balcony=1), LimitReached)

    def test_refusal_says_the_limit_and_what_the_buyer_has_of_it(self, stall: Callable[..., Stall]) -> None:
        shop = stall(limit=3)
        shop.hold("held", "ada", items(standing=2))
        shop.load(shop.sold())
        with pytest.raises(LimitReached) as refusal:
            shop.hold("too many", "ada", items(balcony=2))
        assert refusal.value.args == ("3", "2")

    def test_limit_is_each_buyers_own(self, stall: Callable[..., Stall]) -> None:
        shop = stall(limit=1)
        shop.hold("first", "ada", items(standing=1))
        shop.hold("second", "bob", items(standing=1))

    def test_released_tickets_count_no_longer_towards_the_limit(self, stall: Callable[..., Stall]) -> None:
        shop = stall(limit=1)
        shop.hold("first", "ada", items(standing=1))
        shop.release_hold("first", "ada")
        shop.hold("second", "ada", items(standing=1))

    def test_expired_hold_counts_no_longer_towards_the_limit(self, stall: Callable[..., Stall]) -> None:
        shop = stall(limit=1)
        shop.hold("first", "ada", items(standing=1), life=ENOUGH)
        assert shop.refused("ada", items(standing=1), LimitReached)
        poll(lambda: not shop.refused("ada", items(standing=1), LimitReached))

    def test_limit_counts_a_hold_for_as_long_as_it_lasts(self, stall: Callable[..., Stall]) -> None:
        shop = stall(limit=1)
        shop.load()
        shop.hold("first", "ada", items(standing=1), life=ENOUGH)
        shop.hold("other", "bob", items(standing=1), life=ENOUGH)
        shop.extend("first", "ada")
        poll(lambda: raises(HoldExpired, lambda: shop.find("other", "bob")))  # so long has passed
        with pytest.raises(LimitReached):
            shop.hold("second", "ada", items(standing=1))

    # --- the same request again

    def test_hold_asked_for_again_is_the_same_hold(self, small: Stall) -> None:
        assert small.hold("h", "ada", items(standing=1)) == small.hold("h", "ada", items(standing=1))
        assert small.available() == {"standing": 2, "balcony": 2}

    def test_hold_asked_for_again_with_other_items_is_refused(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=1))
        with pytest.raises(IdempotencyKeyReused):
            small.hold("h", "ada", items(standing=2))
        assert small.available() == {"standing": 2, "balcony": 2}

    def test_booking_that_is_being_made_is_in_progress(self, small: Stall) -> None:
        small.hold_for_booking("b", "ada", items(standing=1))
        with pytest.raises(RequestInProgress):
            small.hold_for_booking("b", "ada", items(standing=1))
        with pytest.raises(IdempotencyKeyReused):
            small.hold_for_booking("b", "ada", items(standing=2))
        assert small.available() == {"standing": 2, "balcony": 2}

    def test_booking_whose_process_died_is_redelivered_with_the_same_tickets(self, small: Stall) -> None:
        first = small.hold_for_booking("b", "ada", items(standing=2))
        redelivered = small.hold_for_booking("b", "ada", items(standing=2), redelivered=True)
        assert redelivered.taken == first.taken
        assert small.available() == {"standing": 1, "balcony": 2}

    def test_key_of_a_hold_that_is_gone_makes_another_hold(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=1))
        old = small.key("h")
        small.release_hold("h", "ada")
        poll(lambda: datetime.now(UTC).timestamp() * 1000 > old.born + 2)
        new = small.hold("h", "ada", items(standing=2))
        assert new.born > old.born
        with pytest.raises(HoldExpired):
            small.holds.find(old, "ada")
        with pytest.raises(HoldExpired):
            small.holds.begin_booking(old, "ada", "b")
        small.holds.release_hold(old, "ada")
        assert small.find("h", "ada") == new

    # --- the end of a hold

    def test_expired_hold_is_free_at_the_next_look(self, stall: Callable[..., Stall]) -> None:
        shop = stall(limit=3)
        shop.hold("abandoned", "ada", items(standing=3), life=SHORT_LIFE)
        poll(lambda: shop.available()["standing"] == 3)
        assert len(shop.hold("next", "ada", items(standing=3)).taken.units) == 3

    def test_expired_hold_is_free_for_who_only_asks_to_hold(self, small: Stall) -> None:
        small.hold("abandoned", "ada", items(standing=3), life=ENOUGH)
        assert small.refused("bob", items(standing=1), SoldOut)
        poll(lambda: not small.refused("bob", items(standing=1), SoldOut))

    def test_expired_hold_is_not_found(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=1), life=SHORT_LIFE)
        poll(lambda: raises(HoldExpired, lambda: small.find("h", "ada")))
        for ask in (small.extend, small.find):
            with pytest.raises(HoldExpired):
                ask("h", "ada")
        with pytest.raises(HoldExpired):
            small.begin_booking("h", "ada", "b")

    def test_hold_is_its_buyers_own(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=1))
        for ask in (small.find, small.extend):
            with pytest.raises(HoldExpired):
                ask("h", "bob")
        with pytest.raises(HoldExpired):
            small.begin_booking("h", "bob", "b")
        small.release_hold("h", "bob")
        assert small.find("h", "ada").taken.buyer == "ada"

    def test_released_hold_is_free_at_once_and_releasing_it_twice_changes_nothing(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=3))
        small.release_hold("h", "ada")
        assert small.available()["standing"] == 3
        small.hold("next", "bob", items(standing=3))
        small.release_hold("h", "ada")
        assert small.available()["standing"] == 0

    def test_hold_is_extended_from_now(self, small: Stall) -> None:
        first = small.hold("h", "ada", items(standing=1), life=ENOUGH)
        longer = small.extend("h", "ada")
        assert timedelta(minutes=9) < longer.expires_at - first.expires_at < timedelta(minutes=11)
        assert longer.taken == first.taken
        assert small.find("h", "ada") == longer

    def test_hold_lasts_no_longer_than_the_longest_in_all(self, stall: Callable[..., Stall]) -> None:
        shop = stall(closes_in=timedelta(days=1))
        placed = datetime.now(UTC)
        shop.hold("h", "ada", items(standing=1))
        extended = shop.extend("h", "ada", life=10 * LONGEST)
        assert abs(extended.expires_at - placed - timedelta(minutes=30)) < timedelta(seconds=5)
        assert shop.extend("h", "ada") == extended  # never shorter

    def test_hold_is_not_extended_past_the_close_of_sales(self, stall: Callable[..., Stall]) -> None:
        shop = stall(closes_in=timedelta(minutes=15))
        shop.hold("h", "ada", items(standing=1))
        extended = shop.extend("h", "ada", life=LONGEST)
        assert abs(extended.expires_at - shop.offer.closes) < timedelta(seconds=0.01)

    # --- from hold to booking

    def test_settled_tickets_stay_sold_past_the_holds_expiry(self, small: Stall) -> None:
        small.hold_for_booking("b", "ada", items(standing=2), life=ENOUGH)
        assert small.settle("b")
        small.hold("later", "bob", items(balcony=1), life=ENOUGH)
        poll(lambda: small.available()["balcony"] == 2)
        assert small.available()["standing"] == 1

    def test_settled_tickets_can_be_released_once(self, small: Stall) -> None:
        taken = small.sell("b", "ada", items(standing=2))
        small.holds.release(small.id, "b", taken)
        assert small.available()["standing"] == 3
        small.hold("next", "bob", items(standing=3))
        small.holds.release(small.id, "b", taken)
        assert small.available()["standing"] == 0

    def test_release_by_another_owner_frees_nothing(self, small: Stall) -> None:
        taken = small.sell("b", "ada", items(standing=3))
        small.holds.release(small.id, "somebody else", taken)
        assert small.available()["standing"] == 0

    def test_hold_that_is_booked_is_sold_to_the_booking(self, small: Stall) -> None:
        held = small.hold("h", "ada", items(standing=2))
        begun = small.begin_booking("h", "ada", "b")
        assert (begun.taken, begun.items, begun.prices) == (held.taken, held.items, held.prices)
        assert small.settle("b", "h")
        with pytest.raises(HoldExpired):
            small.find("h", "ada")
        assert small.available()["standing"] == 1
        small.holds.release(small.id, "b", held.taken)
        assert small.available()["standing"] == 3

    def test_hold_that_is_being_booked_is_neither_released_nor_extended_nor_booked_by_another(
        self, small: Stall
    ) -> None:
        small.hold("h", "ada", items(standing=2))
        small.begin_booking("h", "ada", "b")
        for ask in (
            lambda: small.release_hold("h", "ada"),
            lambda: small.extend("h", "ada"),
            lambda: small.begin_booking("h", "ada", "another booking"),
            lambda: small.begin_booking("h", "ada", "b"),
        ):
            assert raises(RequestInProgress, ask)
        assert small.begin_booking("h", "ada", "b", redelivered=True).taken.buyer == "ada"
        assert small.available()["standing"] == 1

    def test_hold_that_is_being_booked_does_not_expire_under_the_write(self, small: Stall) -> None:
        held = small.hold("h", "ada", items(standing=2), life=ENOUGH)
        assert small.begin_booking("h", "ada", "b").expires_at == held.expires_at
        poll(lambda: datetime.now(UTC) > held.expires_at)
        assert small.available()["standing"] == 1
        assert small.settle("b", "h")
        assert small.available()["standing"] == 1

    def test_settle_comes_too_late_for_a_hold_that_is_gone(self, small: Stall) -> None:
        assert not small.holds.settle(small.id, "never held", "nobodys!")
        taken = small.hold_for_booking("b", "ada", items(standing=1)).taken
        small.holds.release(small.id, "b", taken)
        assert not small.settle("b")
        assert small.available()["standing"] == 3

    def test_booking_that_nobody_works_at_any_more_is_in_doubt(self, small: Stall) -> None:
        taken = small.hold_for_booking("b", "ada", items(standing=3), life=SHORT_LIFE).taken
        found = poll(lambda: doubts(small))
        assert [(d.booking_id, d.taken) for d in found] == [("b", taken)]
        for ask in (
            lambda: small.hold("h", "bob", items(standing=1)),
            lambda: small.available(),
            lambda: small.states(),
        ):
            assert raises(InDoubt, ask)

    def test_doubtful_booking_that_mongodb_has_is_sold(self, small: Stall) -> None:
        small.hold_for_booking("b", "ada", items(standing=3), life=SHORT_LIFE)
        [found] = poll(lambda: doubts(small))
        small.holds.mark_sold(small.id, "b", found.taken, found.mark)
        assert small.available()["standing"] == 0
        small.holds.release(small.id, "b", found.taken)
        assert small.available()["standing"] == 3

    def test_doubtful_booking_that_mongodb_does_not_have_is_free_once_nobody_can_be_at_it(
        self, small: Stall, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shorten_busy(monkeypatch)
        small.hold_for_booking("b", "ada", items(standing=3), life=2 * SHORT_LIFE)
        [found] = poll(lambda: doubts(small))
        small.holds.abandon(small.id, "b", found.mark)
        assert small.available()["standing"] == 3

    def test_hold_whose_booking_came_to_nothing_is_its_buyers_again(
        self, small: Stall, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shorten_busy(monkeypatch)
        held = small.hold("h", "ada", items(standing=2))
        small.begin_booking("h", "ada", "b")
        with pytest.raises(InDoubt) as in_doubt:
            poll(lambda: not raises(RequestInProgress, lambda: small.extend("h", "ada")))
        [found] = in_doubt.value.doubts
        small.holds.abandon(small.id, "b", found.mark)
        assert small.find("h", "ada").taken == held.taken
        small.release_hold("h", "ada")
        assert small.available()["standing"] == 3

    def test_hold_that_expired_while_it_was_booked_in_vain_is_free(
        self, small: Stall, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shorten_busy(monkeypatch)
        held = small.hold("h", "ada", items(standing=2), life=ENOUGH)
        small.begin_booking("h", "ada", "b", life=2 * SHORT_LIFE)
        [found] = poll(lambda: doubts(small))
        poll(lambda: datetime.now(UTC) > held.expires_at)
        small.holds.abandon(small.id, "b", found.mark)
        assert small.available()["standing"] == 3

    def test_booking_of_a_hold_is_in_doubt_long_before_the_hold_would_expire(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=2), life=LIFE)
        small.begin_booking("h", "ada", "b", life=SHORT_LIFE)
        [found] = poll(lambda: doubts(small))
        assert found.booking_id == "b"

    def test_booking_that_is_at_work_is_not_abandoned(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=2))
        begun = small.begin_booking("h", "ada", "b")
        small.holds.abandon(small.id, "b", begun.mark)
        assert small.available()["standing"] == 1
        assert small.settle("b", "h")

    @pytest.mark.parametrize("counted_meanwhile", [False, True])
    def test_booking_of_a_hold_cancelled_before_it_is_settled_is_free(
        self, small: Stall, counted_meanwhile: bool
    ) -> None:
        small.hold("h", "ada", items(standing=2))
        taken = small.begin_booking("h", "ada", "b").taken
        count = small.counts.begin(small.id) if counted_meanwhile else None
        small.holds.release(small.id, "b", taken, small.made["h"].mark)  # as the cancel does
        assert not small.settle("b", "h")
        if count:
            assert small.counts.load(count, small.offer, [("b", small.offer.claims_of(taken))])
        assert small.available()["standing"] == 3

    def test_cancelled_booking_whose_hold_was_never_settled_leaves_nothing_behind(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=2))
        taken = small.begin_booking("h", "ada", "b", life=SHORT_LIFE).taken
        small.holds.release(small.id, "b", taken, small.made["h"].mark)
        poll(lambda: small.available()["standing"] == 3)
        small.load()
        assert small.available()["standing"] == 3

    def test_release_of_another_booking_does_not_end_the_hold(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=2))
        small.begin_booking("h", "ada", "b")
        small.holds.release(small.id, "another", Taken("ada", [], []), small.made["h"].mark)
        assert small.settle("b", "h")

    def test_sold_elsewhere_is_taken_from_who_holds_it(self, small: Stall) -> None:
        held = small.hold("loser", "ada", items(standing=1))
        small.holds.mark_sold(small.id, "winner", Taken("bob", [1], held.taken.units))
        small.release_hold("loser", "ada")
        assert small.available()["standing"] == 2
        assert held.taken.units[0] not in small.hold("next", "cy", items(standing=2)).taken.units

    def test_sold_elsewhere_is_counted_once(self, small: Stall) -> None:
        for _ in range(2):
            small.holds.mark_sold(small.id, "winner", Taken("bob", [1], [Unit("standing", 2)]))
        assert small.available()["standing"] == 2
        assert [unit.number for unit in small.hold("next", "cy", items(standing=2)).taken.units] == [1, 3]

    def test_hold_that_has_lost_a_ticket_is_lost_as_a_whole(self, small: Stall) -> None:
        small.hold("loser", "ada", items(standing=2, balcony=1))
        small.holds.mark_sold(small.id, "winner", Taken("bob", [1], [Unit("standing", 2)]))
        with pytest.raises(HoldExpired):
            small.find("loser", "ada")
        assert small.available() == {"standing": 2, "balcony": 2}

    def test_hold_that_has_lost_a_ticket_takes_it_from_nobody_at_the_next_count(self, small: Stall) -> None:
        lost = Taken("bob", [1], [Unit("standing", 1)])
        small.hold("loser", "ada", items(standing=2))
        small.holds.mark_sold(small.id, "winner", lost)
        small.holds.release(small.id, "winner", lost)
        kept = small.hold("next", "cy", items(standing=1))
        assert kept.taken.units == lost.units
        small.load()
        assert small.find("next", "cy") == kept
        assert small.available()["standing"] == 2

    def test_booking_that_has_lost_any_of_its_tickets_is_not_settled(self, small: Stall) -> None:
        small.hold_for_booking("b", "ada", items(standing=2))
        small.holds.mark_sold(small.id, "winner", Taken("bob", [1], [Unit("standing", 2)]))
        assert not small.settle("b")

    def test_hold_that_has_lost_a_ticket_while_it_was_booked_is_not_its_buyers_again(
        self, small: Stall, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shorten_busy(monkeypatch)
        small.hold("h", "ada", items(standing=2))
        small.begin_booking("h", "ada", "b", life=2 * SHORT_LIFE)
        small.holds.mark_sold(small.id, "winner", Taken("bob", [1], [Unit("standing", 2)]))
        [found] = poll(lambda: doubts(small))
        small.holds.abandon(small.id, "b", found.mark)
        with pytest.raises(HoldExpired):
            small.find("h", "ada")
        assert small.available()["standing"] == 2

    @pytest.mark.parametrize("counted_meanwhile", [False, True])
    @pytest.mark.parametrize("told", ["sold", "cancelled"])
    def test_what_a_bookings_hold_has_beside_it_is_free_with_its_end(
        self, small: Stall, told: str, counted_meanwhile: bool
    ) -> None:
        small.hold_for_booking("b", "ada", items(standing=3))
        booked = Taken("ada", [1], [Unit("standing", 2)])
        count = small.counts.begin(small.id) if counted_meanwhile else None
        (small.holds.mark_sold if told == "sold" else small.holds.release)(small.id, "b", booked)
        if count:
            assert small.counts.load(count, small.offer, [])
        assert small.available()["standing"] == (2 if told == "sold" else 3)
        small.holds.release(small.id, "b", booked)
        assert small.available()["standing"] == 3

    def test_hold_whose_ticket_is_sold_while_redis_does_not_have_the_concert_is_lost(self, small: Stall) -> None:
        small.hold("h", "ada", items(standing=2))
        count = small.counts.begin(small.id)
        assert count is not None
        small.holds.mark_sold(small.id, "winner", Taken("bob", [1], [Unit("standing", 1)]))
        assert small.counts.load(count, small.offer, [])
        with pytest.raises(HoldExpired):
            small.find("h", "ada")
        assert small.available()["standing"] == 2

    # --- reserved seats

    @pytest.fixture
    def theatre(self, stall: Callable[..., Stall]) -> Stall:
        """Two rows of six; B-1-1 is blocked, B-2-1 and B-2-2 are accessible."""
        seating = hall("1", "2", blocked_seats=["B-1-1"], accessible_seats=["B-2-1", "B-2-2"])
        return stall(capacities={"standing": 5}, seating={"balcony": seating})

    def test_seats_are_held_by_name(self, theatre: Stall) -> None:
        hold = theatre.hold("h", "ada", [*seats("balcony", "B-2-6", "B-1-2"), *items(standing=1)])
        assert theatre.names(hold) == ["B-2-6", "B-1-2", None]
        assert theatre.available() == {"balcony": 9, "standing": 4}
        assert theatre.states() == {"balcony": "xhaaaa" + "aaaaah"}

    def test_taken_seats_are_named_and_nothing_is_held(self, theatre: Stall) -> None:
        theatre.hold("first", "ada", seats("balcony", "B-1-2"))
        theatre.load()
        with pytest.raises(SeatsTaken) as taken:
            theatre.hold("h", "bob", seats("balcony", "B-1-3", "B-1-2", "B-1-1"))
        assert [theatre.offer.seat_of(unit) for unit in taken.value.units] == ["B-1-2", "B-1-1"]
        assert theatre.states() == {"balcony": "xhaaaa" + "aaaaaa"}

    def test_seat_named_twice_cannot_be_held(self, theatre: Stall) -> None:
        theatre.load()
        with pytest.raises(SeatsTaken):
            theatre.hold("h", "bob", seats("balcony", "B-1-3", "B-1-3"))

    def test_seat_states_tell_held_from_booked(self, theatre: Stall) -> None:
        theatre.sell("b", "ada", seats("balcony", "B-1-2", "B-1-3"))
        theatre.hold("h", "bob", seats("balcony", "B-2-6"))
        assert theatre.states() == {"balcony": "xbbaaa" + "aaaaah"}

    def test_seat_states_are_told_again_when_they_have_changed(self, theatre: Stall) -> None:
        sizes = {"balcony": 12}
        tag, version, letters = theatre.holds.seats(theatre.id, sizes, None)
        assert letters is not None
        assert theatre.holds.seats(theatre.id, sizes, tag) == (tag, version, None)
        theatre.hold("h", "bob", seats("balcony", "B-2-6"))
        changed, _, letters = theatre.holds.seats(theatre.id, sizes, tag)
        assert changed != tag and letters is not None
        theatre.release_hold("h", "bob")
        assert theatre.holds.seats(theatre.id, sizes, changed).letters is not None
        theatre.load()
        assert theatre.holds.seats(theatre.id, sizes, tag).letters is not None

    @pytest.mark.parametrize(
        ("quantity", "best"),
        [
            (1, ["B-1-4"]),
            (2, ["B-1-2", "B-1-3"]),
            (3, ["B-1-2", "B-1-3", "B-1-4"]),
            (5, ["B-1-2", "B-1-3", "B-1-4", "B-1-5", "B-1-6"]),
        ],
    )
    def test_best_seats_are_in_the_middle_of_the_first_row_and_leave_no_single_one(
        self, theatre: Stall, quantity: int, best: list[str]
    ) -> None:
        assert theatre.names(theatre.hold("h", "ada", items(balcony=quantity))) == best

    @pytest.mark.parametrize(
        ("taken", "quantity", "best"),
        [
            ("B-1-2", 2, ["B-1-3", "B-1-4"]),
            ("B-1-2", 1, ["B-1-3"]),
            ("B-1-6", 1, ["B-1-2"]),  # further from the middle than B-1-3, beside which B-1-2 would be left over
            ("B-1-6", 2, ["B-1-2", "B-1-3"]),
            ("B-1-2", 3, ["B-1-3", "B-1-4", "B-1-5"]),  # one is left over, wherever they are
            ("B-1-4", 1, ["B-1-3"]),
        ],
    )
    def test_single_seat_is_left_over_only_where_it_cannot_be_helped(
        self, theatre: Stall, taken: str, quantity: int, best: list[str]
    ) -> None:
        theatre.hold("first", "bob", seats("balcony", taken))
        assert theatre.names(theatre.hold("h", "ada", items(balcony=quantity))) == best

    def test_best_seats_are_in_the_next_row_when_none_has_enough_side_by_side(self, theatre: Stall) -> None:
        theatre.hold("first", "ada", seats("balcony", "B-1-4"))
        assert theatre.names(theatre.hold("h", "bob", items(balcony=3))) == ["B-2-3", "B-2-4", "B-2-5"]

    def test_best_seats_are_apart_only_when_no_row_has_enough(self, theatre: Stall) -> None:
        theatre.hold("first", "ada", seats("balcony", "B-1-4", "B-2-4"))
        assert theatre.names(theatre.hold("h", "bob", items(balcony=3))) == ["B-1-2", "B-1-3", "B-1-5"]

    def test_seats_that_come_back_side_by_side_are_found_again(self, theatre: Stall) -> None:
        theatre.hold("first", "ada", seats("balcony", "B-1-2", "B-1-4", "B-1-6", "B-2-3", "B-2-5"))
        theatre.hold("second", "bob", seats("balcony", "B-1-3"))
        assert theatre.names(theatre.hold("apart", "cy", items(balcony=2))) == ["B-1-5", "B-2-4"]
        theatre.release_hold("apart", "cy")
        theatre.release_hold("second", "bob")
        theatre.release_hold("first", "ada")
        assert theatre.names(theatre.hold("together", "dee", items(balcony=2))) == ["B-1-2", "B-1-3"]

    def test_accessible_seats_are_given_last_unless_they_are_named(self, theatre: Stall) -> None:
        others = theatre.hold("others", "ada", items(balcony=9))
        assert not {"B-2-1", "B-2-2"} & set(theatre.names(others))
        assert theatre.names(theatre.hold("last", "bob", items(balcony=2))) == ["B-2-1", "B-2-2"]

    def test_accessible_seats_are_given_side_by_side_when_there_are_no_others(
        self, stall: Callable[..., Stall]
    ) -> None:
        seating = hall("1", accessible_seats=["B-1-1", "B-1-5", "B-1-6"])
        shop = stall(capacities={}, seating={"balcony": seating})
        shop.hold("first", "ada", seats("balcony", "B-1-3", "B-1-4"))
        assert shop.names(shop.hold("pair", "bob", items(balcony=2))) == ["B-1-1", "B-1-2"]
        assert shop.names(shop.hold("last", "cy", items(balcony=2))) == ["B-1-5", "B-1-6"]

    def test_accessible_seats_can_be_named(self, theatre: Stall) -> None:
        assert theatre.names(theatre.hold("h", "bob", seats("balcony", "B-2-1"))) == ["B-2-1"]

    def test_all_seats_but_the_blocked_can_be_held_and_no_more(self, theatre: Stall) -> None:
        theatre.hold("h", "ada", items(balcony=11))
        assert theatre.states() == {"balcony": "xhhhhh" + "hhhhhh"}
        assert theatre.refused("bob", items(balcony=1), SoldOut)

    def test_named_and_best_seats_are_held_together(self, theatre: Stall) -> None:
        hold = theatre.hold("h", "ada", [*items(balcony=2), *seats("balcony", "B-1-4")])
        assert theatre.names(hold) == ["B-1-4", "B-1-2", "B-1-3"]

    # --- when sales are open

    def test_sales_close_by_themselves(self, stall: Callable[..., Stall]) -> None:
        shop = stall(capacities={"standing": 1000}, closes_in=timedelta(milliseconds=ENOUGH))
        shop.hold_for_booking("in time", "ada", items(standing=1))
        poll(lambda: not shop.holds.availability(shop.id)["sales"]["open"])
        poll(lambda: shop.refused("bob", items(standing=1), SalesClosed))
        assert shop.available() == {"standing": 999}

    def test_hold_cannot_be_booked_or_extended_after_sales_closed(self, stall: Callable[..., Stall]) -> None:
        shop = stall(closes_in=timedelta(milliseconds=ENOUGH))
        shop.hold("h", "ada", items(standing=1))
        poll(lambda: not shop.holds.availability(shop.id)["sales"]["open"])
        for ask in (
            lambda: shop.begin_booking("h", "ada", "b"),
            lambda: shop.extend("h", "ada"),
        ):
            poll(lambda: raises(SalesClosed, ask))  # noqa: B023

    def test_sales_closed_before_they_were_loaded(self, stall: Callable[..., Stall]) -> None:
        assert stall(closes_in=timedelta(seconds=-1)).refused("ada", items(standing=1), SalesClosed)

    def test_sales_have_not_opened_yet(self, stall: Callable[..., Stall]) -> None:
        shop = stall(opens_in=timedelta(milliseconds=ENOUGH))
        assert not shop.holds.availability(shop.id)["sales"]["open"]
        assert shop.refused("ada", items(standing=1), NotOnSaleYet)
        poll(lambda: shop.holds.availability(shop.id)["sales"]["open"])
        shop.hold("in time", "ada", items(standing=1))

    def test_cancelled_concert_sells_nothing(self, stall: Callable[..., Stall]) -> None:
        shop = stall()
        shop.hold("h", "ada", items(standing=1))
        shop.load(on_sale=terms(shop.id, version=2, status="cancelled"))
        assert not shop.holds.availability(shop.id)["sales"]["open"]
        assert shop.refused("bob", items(standing=1), ConcertCancelled)
        with pytest.raises(ConcertCancelled):
            shop.begin_booking("h", "ada", "b")

    # --- counts

    def test_concert_that_was_never_loaded_is_not_sold_out(self, holds: Holds, concert_id: str) -> None:
        request = HoldRequest("ada", items(standing=1), Offer(terms(concert_id)).wanted(items(standing=1)), "f")
        for ask in (
            lambda: holds.place(concert_id, "h", request),
            lambda: holds.availability(concert_id),
            lambda: holds.seats(concert_id, {}, None),
            lambda: holds.find(HoldKey(concert_id, "h", 1), "ada"),
            lambda: holds.release_hold(HoldKey(concert_id, "h", 1), "ada"),
        ):
            assert raises(NotLoaded, ask)

    def test_one_counts_a_concert_at_a_time(self, counts: Counts, concert_id: str) -> None:
        first = counts.begin(concert_id)
        assert first is not None
        assert counts.begin(concert_id) is None
        assert counts.is_running(concert_id)
        counts.end(first)
        assert not counts.is_running(concert_id)
        assert counts.begin(concert_id) is not None
        counts.end(first)  # not his any more
        assert counts.is_running(concert_id)

    def test_refusal_is_believed_only_after_a_count(self, stall: Callable[..., Stall]) -> None:
        shop = stall(limit=5)
        shop.hold("h", "ada", items(standing=3, balcony=2))
        for buyer, asked in (("bob", items(standing=1)), ("ada", items(standing=1))):
            with pytest.raises(CountDue):
                shop.hold("next", buyer, asked)
        shop.load()
        with pytest.raises(SoldOut):
            shop.hold("next", "bob", items(standing=1))

    def test_what_was_taken_and_belongs_to_nobody_is_free_after_a_count(self, small: Stall) -> None:
        small.sell("leaked", "ada", items(standing=3))  # and MongoDB has no such booking
        assert small.available()["standing"] == 0
        assert not small.refused("bob", items(standing=3), SoldOut)

    def test_count_keeps_what_is_held_and_what_is_sold(self, stall: Callable[..., Stall]) -> None:
        shop = stall(capacities={"standing": 10})
        held = shop.hold("held", "bob", items(standing=2))
        sold = [("sold", ["unit:standing:7", "unit:standing:9", "buyer:cy:1", "buyer:cy:2"])]
        shop.load(sold)
        assert shop.available() == {"standing": 6}
        rest = shop.hold("rest", "dee", items(standing=6)).taken.units
        assert {unit.number for unit in rest} == {3, 4, 5, 6, 8, 10}
        assert shop.find("held", "bob") == held
        shop.release_hold("held", "bob")
        assert shop.available() == {"standing": 2}

    def test_counted_hold_still_expires(self, small: Stall) -> None:
        small.hold("held", "bob", items(standing=3), life=ENOUGH)
        small.load()
        assert small.available()["standing"] == 0
        poll(lambda: small.available()["standing"] == 3)

    def test_count_believes_the_sold_before_the_held(self, stall: Callable[..., Stall]) -> None:
        shop = stall(capacities={"standing": 2})
        shop.hold("loser", "ada", items(standing=2))
        shop.load([("winner", ["unit:standing:1", "buyer:bob:1"])])
        with pytest.raises(HoldExpired):
            shop.find("loser", "ada")
        assert shop.available() == {"standing": 1}

    @pytest.mark.parametrize("counted", [False, True])
    def test_booking_written_while_it_is_counted_is_sold_once(self, small: Stall, counted: bool) -> None:
        taken = small.hold_for_booking("b", "ada", items(standing=2)).taken
        count = small.counts.begin(small.id)
        assert count is not None
        sold = [("b", small.offer.claims_of(taken))] if counted else []
        assert small.settle("b")
        assert small.counts.load(count, small.offer, sold)
        assert small.available()["standing"] == 1
        small.holds.release(small.id, "b", taken)
        assert small.available()["standing"] == 3

    def test_hold_booked_while_it_is_counted_is_sold_once(self, small: Stall) -> None:
        held = small.hold("h", "ada", items(standing=2))
        small.begin_booking("h", "ada", "b")
        small.load([("b", small.offer.claims_of(held.taken))])
        assert small.settle("b", "h")
        assert small.available()["standing"] == 1
        small.holds.release(small.id, "b", held.taken)
        assert small.available()["standing"] == 3

    def test_booking_cancelled_while_it_is_counted_is_free(self, small: Stall) -> None:
        taken = small.sell("b", "ada", items(standing=3))
        count = small.counts.begin(small.id)
        assert count is not None
        small.holds.release(small.id, "b", taken)
        assert small.counts.load(count, small.offer, [("b", small.offer.claims_of(taken))])
        assert small.available()["standing"] == 3

    def test_what_is_sold_while_redis_has_lost_the_concert_is_not_lost(
        self, holds: Holds, counts: Counts, concert_id: str
    ) -> None:
        shop = Stall(holds, counts, terms(concert_id))
        count = counts.begin(concert_id)
        assert count is not None
        taken = Taken("ada", [1], [Unit("standing", 2)])
        assert not holds.settle(concert_id, "b", "nobodys!")
        holds.mark_sold(concert_id, "b", taken)
        assert counts.load(count, shop.offer, [])
        assert shop.available()["standing"] == 2
        holds.release(concert_id, "b", taken)
        assert shop.available()["standing"] == 3

    def test_count_of_who_was_taken_for_dead_is_void(self, small: Stall) -> None:
        slow = small.counts.begin(small.id)
        assert slow is not None
        small.counts.end(slow)
        small.load([("b", ["unit:standing:1", "buyer:ada:1"])])
        assert not small.counts.load(slow, small.offer, [])
        assert small.available()["standing"] == 2

    def test_hold_placed_while_it_is_counted_is_kept(self, small: Stall) -> None:
        count = small.counts.begin(small.id)
        assert count is not None
        held = small.hold("h", "ada", items(standing=2))
        assert small.counts.load(count, small.offer, [])
        assert small.find("h", "ada").taken == held.taken
        assert small.available()["standing"] == 1
        small.release_hold("h", "ada")
        assert small.available()["standing"] == 3

    @pytest.mark.parametrize("held_again", [False, True])
    def test_hold_released_while_it_is_counted_is_free(self, small: Stall, held_again: bool) -> None:
        small.hold("h", "ada", items(standing=2))
        count = small.counts.begin(small.id)
        assert count is not None
        small.release_hold("h", "ada")
        if held_again:
            small.hold("h", "ada", items(standing=1))
        assert small.counts.load(count, small.offer, [])
        assert small.available()["standing"] == 3 - held_again

    def test_hold_whose_tickets_are_sold_while_it_is_counted_is_lost(self, small: Stall) -> None:
        count = small.counts.begin(small.id)
        assert count is not None
        held = small.hold("h", "ada", items(standing=2))
        sold = [("winner", small.offer.claims_of(Taken("bob", [1], held.taken.units[:1])))]
        assert small.counts.load(count, small.offer, sold)
        with pytest.raises(HoldExpired):
            small.find("h", "ada")
        assert small.available()["standing"] == 2

    def test_newer_terms_may_drop_and_add_ticket_types(self, stall: Callable[..., Stall]) -> None:
        shop = stall(version=1)
        sold = [("b", ["unit:balcony:1", "buyer:ada:1"])]
        shop.load(sold, terms(shop.id, version=2, capacities={"standing": 3, "lawn": 9}))
        assert shop.available() == {"standing": 3, "lawn": 9}
        shop.hold("h", "ada", items(lawn=1))

    def test_hold_of_what_newer_terms_do_not_offer_is_lost(self, stall: Callable[..., Stall]) -> None:
        shop = stall(version=1, limit=3)
        shop.hold("lost", "ada", items(balcony=1, standing=1))
        shop.hold("kept", "ada", items(standing=1))
        shop.load(on_sale=terms(shop.id, version=2, capacities={"standing": 3}, limit=3))
        with pytest.raises(HoldExpired):
            shop.find("lost", "ada")
        assert shop.find("kept", "ada").taken.buyer == "ada"
        assert shop.available() == {"standing": 2}
        shop.hold("next", "ada", items(standing=2))

    def test_hold_of_a_seat_that_newer_terms_do_not_have_is_lost(self, stall: Callable[..., Stall]) -> None:
        shop = stall(version=1, seating={"balcony": hall("1", "2")})
        shop.hold("lost", "ada", seats("balcony", "B-2-3"))
        shop.load(on_sale=terms(shop.id, version=2, seating={"balcony": hall("1")}))
        with pytest.raises(HoldExpired):
            shop.find("lost", "ada")
        assert shop.available()["balcony"] == 6

    def test_seat_that_was_blocked_after_it_was_sold_is_not_sold_again(self, stall: Callable[..., Stall]) -> None:
        shop = stall(version=1, capacities={}, seating={"balcony": hall("1")})
        taken = shop.sell("b", "ada", seats("balcony", "B-1-1"))
        sold = [("b", shop.offer.claims_of(taken))]
        blocked = {"balcony": hall("1", blocked_seats=["B-1-1"])}
        shop.load(sold, terms(shop.id, version=2, capacities={}, seating=blocked))
        assert (shop.states(), shop.available()) == ({"balcony": "baaaaa"}, {"balcony": 5})
        shop.holds.release(shop.id, "b", taken)
        assert (shop.states(), shop.available()) == ({"balcony": "xaaaaa"}, {"balcony": 5})
        assert shop.refused("bob", seats("balcony", "B-1-1"), SeatsTaken)

    def test_hold_being_booked_keeps_what_it_can_when_a_type_is_dropped(self, stall: Callable[..., Stall]) -> None:
        shop = stall(version=1, limit=2)
        shop.hold_for_booking("b", "ada", items(standing=1, balcony=1))
        shop.load(on_sale=terms(shop.id, version=2, capacities={"standing": 3}, limit=2))
        assert shop.available() == {"standing": 2}
        assert shop.refused("ada", items(standing=1), LimitReached)

    @pytest.mark.parametrize("read", ["before it is booked", "after it is booked"])
    def test_hold_that_is_booked_while_it_is_counted_is_not_freed(
        self, small: Stall, monkeypatch: pytest.MonkeyPatch, read: str
    ) -> None:
        held = small.hold("h", "ada", items(standing=2))
        count = small.counts.begin(small.id)
        assert count is not None
        if read == "after it is booked":
            small.begin_booking("h", "ada", "b")

        def sold() -> Sold:
            if read == "before it is booked":
                small.begin_booking("h", "ada", "b")
            yield "b", small.offer.claims_of(held.taken)

        assert small.counts.load(count, small.offer, sold())
        assert small.available()["standing"] == 1
        assert small.settle("b", "h")

    def test_lower_limit_counts_what_was_bought_before(self, stall: Callable[..., Stall]) -> None:
        shop = stall(version=1, limit=4)
        first, second = shop.hold("first", "ada", items(standing=1)), shop.hold("second", "ada", items(standing=1))
        assert (first.taken.slots, second.taken.slots) == ([1], [2])
        shop.release_hold("first", "ada")
        shop.load(on_sale=terms(shop.id, version=2, limit=1))
        assert shop.refused("ada", items(standing=1), LimitReached)
        shop.release_hold("second", "ada")
        shop.hold("third", "ada", items(standing=1))

    def test_newer_terms_reopen_sales(self, stall: Callable[..., Stall]) -> None:
        shop = stall(version=1, closes_in=timedelta(seconds=-1))
        shop.load(on_sale=terms(shop.id, version=2))
        shop.hold("h", "ada", items(standing=1))

    def test_hold_keeps_its_price_when_the_terms_change(self, stall: Callable[..., Stall]) -> None:
        shop = stall(version=1)
        shop.hold("h", "ada", items(standing=1))
        dearer = terms(shop.id, version=2)
        dearer["ticket_types"][0]["price"]["amount"] = 9900
        shop.load(on_sale=dearer)
        begun = shop.begin_booking("h", "ada", "b")
        assert (begun.version, begun.prices["standing"]["amount"]) == (2, 4500)
        assert shop.hold("next", "bob", items(standing=1)).prices["standing"]["amount"] == 9900

    def test_fewer_tickets_than_are_sold_are_none_left(self, stall: Callable[..., Stall]) -> None:
        claims = [f"unit:standing:{n}" for n in range(1, 5)] + [f"buyer:ada:{n}" for n in range(1, 5)]
        shop = stall([("sold", claims)], capacities={"standing": 3})
        assert shop.available() == {"standing": 0}
        shop.sold = lambda: [("sold", claims)]  # type: ignore[method-assign]
        assert shop.refused("bob", items(standing=1), SoldOut)

    def test_availability_counts_held_and_sold_by_ticket_type(self, stall: Callable[..., Stall]) -> None:
        shop = stall(capacities={"standing": 10, "balcony": 5, "box": 1}, opens_in=timedelta(hours=-1))
        shop.hold("held", "ada", items(standing=3, balcony=1))
        shop.sell("sold", "bob", items(standing=2))
        assert shop.holds.availability(shop.id) == {
            "ticket_types": [
                {"code": "balcony", "capacity": 5, "available": 4},
                {"code": "box", "capacity": 1, "available": 1},
                {"code": "standing", "capacity": 10, "available": 5},
            ],
            "sales": {
                "open": True,
                "sales_open_at": shop.offer.terms["sales_open_at"],
                "sales_close_at": shop.offer.terms["sales_close_at"],
            },
        }

    def test_concerts_do_not_touch_each_other(self, small: Stall) -> None:
        with pytest.raises(NotLoaded):
            small.holds.place(small.id + "2", "h", small.request("ada", items(standing=1)))


def raises(error: type[Exception], ask: Callable[[], object]) -> bool:
    try:
        ask()
    except error:
        return True
    return False


def doubts(stall: Stall) -> Sequence[Doubt]:
    try:
        stall.available()
    except InDoubt as in_doubt:
        return in_doubt.doubts
    return []


def shorten_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is thought to be at work at a booking for long."""
    monkeypatch.setattr("booking_svc.holds.BUSY", SHORT_LIFE)
    monkeypatch.setattr("tests.unit.booking_svc.model.BUSY", SHORT_LIFE)


def available(holds: Holds, concert_id: str) -> Mapping[str, int]:
    return {t["code"]: t["available"] for t in holds.availability(concert_id)["ticket_types"]}
