"""What holds promise, whether they lie in Redis or in a test's memory."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from booking_svc.contract import (
    ConcertCancelled,
    LimitReached,
    NotOnSaleYet,
    Refusal,
    RequestInProgress,
    SalesClosed,
    SoldOut,
    UnknownTicketType,
)
from booking_svc.holds import Hold, Holds, NotLoaded
from tests.polling import poll
from tests.unit.booking_svc.concerts import terms

#: Milliseconds. A test that must act before a hold expires gives it more.
SHORT_LIFE, ENOUGH = 30, 600


class HoldsContract:
    """Needs the fixtures `holds` and `concert_id`, a concert nobody else uses."""

    def test_hold_takes_all_of_several_ticket_types(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        hold = holds.place(concert_id, "booking", "ada", {"standing": 2, "balcony": 1})
        assert sorted(kinds(hold)) == ["buyer", "buyer", "buyer", "unit:balcony", "unit:standing", "unit:standing"]
        assert len(set(hold.claims)) == 6
        assert available(holds, concert_id) == {"standing": 1, "balcony": 1}

    def test_hold_tells_by_which_terms_it_was_placed(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, version=7), [])
        assert holds.place(concert_id, "booking", "ada", {"standing": 1}).version == 7

    @pytest.mark.parametrize(
        ("wanted", "refusal"),
        [
            ({"standing": 1, "balcony": 3}, SoldOut),
            ({"balcony": 3, "standing": 1}, SoldOut),
            ({"standing": 1, "backstage": 1}, UnknownTicketType),
            ({"standing": 3, "balcony": 2}, LimitReached),
        ],
        ids=str,
    )
    def test_refused_hold_changes_nothing(
        self, holds: Holds, concert_id: str, wanted: dict[str, int], refusal: type[Refusal]
    ) -> None:
        holds.load(terms(concert_id, limit=4), [])
        with pytest.raises(refusal):
            holds.place(concert_id, "booking", "ada", wanted)
        assert available(holds, concert_id) == {"standing": 3, "balcony": 2}
        assert len(holds.place(concert_id, "booking", "ada", {"standing": 3, "balcony": 1}).claims) == 8

    def test_all_that_is_free_can_be_held_and_no_more(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        holds.place(concert_id, "first", "ada", {"standing": 3, "balcony": 2})
        with pytest.raises(SoldOut):
            holds.place(concert_id, "second", "bob", {"standing": 1})

    def test_limit_counts_what_the_buyer_holds_and_what_is_sold_to_him(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, limit=3), [])
        holds.place(concert_id, "sold", "ada", {"standing": 1})
        holds.settle(concert_id, "sold")
        holds.place(concert_id, "held", "ada", {"balcony": 1})
        with pytest.raises(LimitReached):
            holds.place(concert_id, "too many", "ada", {"standing": 2})
        holds.place(concert_id, "just enough", "ada", {"standing": 1})
        with pytest.raises(LimitReached):
            holds.place(concert_id, "too many", "ada", {"balcony": 1})

    def test_limit_is_each_buyers_own(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, limit=1), [])
        holds.place(concert_id, "first", "ada", {"standing": 1})
        holds.place(concert_id, "second", "bob", {"standing": 1})

    def test_released_tickets_count_no_longer_towards_the_limit(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, limit=1), [])
        hold = holds.place(concert_id, "first", "ada", {"standing": 1})
        holds.release(concert_id, "first", hold.claims)
        holds.place(concert_id, "second", "ada", {"standing": 1})

    def test_owner_that_holds_tickets_already_is_in_progress(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        holds.place(concert_id, "booking", "ada", {"standing": 1})
        with pytest.raises(RequestInProgress):
            holds.place(concert_id, "booking", "ada", {"standing": 1})
        assert available(holds, concert_id) == {"standing": 2, "balcony": 2}

    def test_expired_hold_is_free_at_the_next_look(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, limit=3), [])
        holds.place(concert_id, "abandoned", "ada", {"standing": 3}, life=SHORT_LIFE)
        poll(lambda: available(holds, concert_id)["standing"] == 3)
        assert len(holds.place(concert_id, "next", "ada", {"standing": 3}).claims) == 6

    def test_expired_hold_is_free_for_who_only_asks_to_hold(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        holds.place(concert_id, "abandoned", "ada", {"standing": 3}, life=ENOUGH)

        assert refused(holds, concert_id, "next", SoldOut)
        poll(lambda: not refused(holds, concert_id, "next", SoldOut))

    def test_release_frees_the_tickets_at_once(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        hold = holds.place(concert_id, "booking", "ada", {"standing": 3})
        holds.release(concert_id, "booking", hold.claims)
        assert available(holds, concert_id)["standing"] == 3
        holds.place(concert_id, "next", "bob", {"standing": 3})

    def test_release_by_another_owner_frees_nothing(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        hold = holds.place(concert_id, "booking", "ada", {"standing": 3})
        holds.release(concert_id, "somebody else", hold.claims)
        assert available(holds, concert_id)["standing"] == 0
        assert holds.settle(concert_id, "booking")

    def test_release_twice_changes_nothing_the_second_time(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        hold = holds.place(concert_id, "booking", "ada", {"standing": 2})
        holds.release(concert_id, "booking", hold.claims)
        holds.release(concert_id, "booking", hold.claims)
        assert available(holds, concert_id)["standing"] == 3
        holds.place(concert_id, "next", "bob", {"standing": 3})
        holds.release(concert_id, "booking", hold.claims)
        assert available(holds, concert_id)["standing"] == 0

    def test_settled_tickets_stay_sold_past_the_holds_expiry(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        holds.place(concert_id, "sold", "ada", {"standing": 2}, life=ENOUGH)
        assert holds.settle(concert_id, "sold")
        holds.place(concert_id, "later", "bob", {"balcony": 1}, life=ENOUGH)
        poll(lambda: available(holds, concert_id)["balcony"] == 2)
        assert available(holds, concert_id)["standing"] == 1

    def test_settled_tickets_can_be_released(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        hold = holds.place(concert_id, "sold", "ada", {"standing": 2})
        holds.settle(concert_id, "sold")
        holds.release(concert_id, "sold", hold.claims)
        assert available(holds, concert_id)["standing"] == 3

    def test_settle_comes_too_late_for_an_expired_hold(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        holds.place(concert_id, "slow", "ada", {"standing": 2}, life=SHORT_LIFE)
        poll(lambda: available(holds, concert_id)["standing"] == 3)
        assert not holds.settle(concert_id, "slow")

    def test_sold_elsewhere_is_taken_from_who_holds_it(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        hold = holds.place(concert_id, "loser", "ada", {"standing": 1})
        [unit] = units(hold)
        holds.mark_sold(concert_id, "winner", [unit, "buyer:bob:1"])
        holds.release(concert_id, "loser", hold.claims)
        assert available(holds, concert_id)["standing"] == 2
        assert unit not in holds.place(concert_id, "next", "cy", {"standing": 2}).claims

    def test_sold_elsewhere_is_counted_once(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        for _ in range(2):
            holds.mark_sold(concert_id, "winner", ["unit:standing:2", "buyer:bob:1"])
        assert available(holds, concert_id)["standing"] == 2
        hold = holds.place(concert_id, "next", "cy", {"standing": 2})
        assert sorted(units(hold)) == ["unit:standing:1", "unit:standing:3"]

    def test_concert_that_was_never_loaded_is_not_sold_out(self, holds: Holds, concert_id: str) -> None:
        assert not holds.is_loaded(concert_id)
        with pytest.raises(NotLoaded):
            holds.place(concert_id, "booking", "ada", {"standing": 1})
        with pytest.raises(NotLoaded):
            holds.availability(concert_id)

    def test_one_loads_a_concert_at_a_time(self, holds: Holds, concert_id: str) -> None:
        assert holds.begin_loading(concert_id)
        assert not holds.begin_loading(concert_id)
        holds.end_loading(concert_id)
        assert holds.begin_loading(concert_id)

    def test_sales_close_by_themselves(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, capacities={"standing": 1000}, closes_in=timedelta(milliseconds=ENOUGH)), [])
        holds.place(concert_id, "in time", "ada", {"standing": 1})
        poll(lambda: not holds.availability(concert_id)["sales"]["open"])
        poll(lambda: refused(holds, concert_id, "late", SalesClosed))
        assert available(holds, concert_id) == {"standing": 999}

    def test_sales_closed_before_they_were_loaded(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, closes_in=timedelta(seconds=-1)), [])
        with pytest.raises(SalesClosed):
            holds.place(concert_id, "late", "ada", {"standing": 1})

    def test_sales_have_not_opened_yet(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, opens_in=timedelta(milliseconds=ENOUGH)), [])
        assert not holds.availability(concert_id)["sales"]["open"]
        with pytest.raises(NotOnSaleYet):
            holds.place(concert_id, "early", "ada", {"standing": 1})
        poll(lambda: holds.availability(concert_id)["sales"]["open"])
        holds.place(concert_id, "in time", "ada", {"standing": 1})

    def test_cancelled_concert_sells_nothing(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, status="cancelled"), [])
        assert not holds.availability(concert_id)["sales"]["open"]
        with pytest.raises(ConcertCancelled):
            holds.place(concert_id, "booking", "ada", {"standing": 1})

    def test_older_terms_do_not_replace_newer_ones(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, version=2, capacities={"standing": 5}), [])
        holds.load(terms(concert_id, version=1, capacities={"standing": 9}), [])
        assert available(holds, concert_id) == {"standing": 5}

    def test_newer_terms_may_drop_a_ticket_type(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, version=1), [])
        holds.load(terms(concert_id, version=2, capacities={"standing": 3}), [])
        assert available(holds, concert_id) == {"standing": 3}
        with pytest.raises(UnknownTicketType):
            holds.place(concert_id, "booking", "ada", {"balcony": 1})

    def test_newer_terms_reopen_sales(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, version=1, closes_in=timedelta(seconds=-1)), [])
        holds.load(terms(concert_id, version=2), [])
        holds.place(concert_id, "booking", "ada", {"standing": 1})

    def test_reload_recounts_what_is_sold_and_keeps_what_is_held(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, capacities={"standing": 10}), [])
        leaked = holds.place(concert_id, "leaked", "ada", {"standing": 1})
        holds.settle(concert_id, "leaked")  # and yet no booking
        held = holds.place(concert_id, "held", "bob", {"standing": 2})
        sold = [("sold", ["unit:standing:7", "unit:standing:9", "buyer:cy:1", "buyer:cy:2"])]
        holds.load(terms(concert_id, capacities={"standing": 10}), sold)
        assert available(holds, concert_id) == {"standing": 6}
        rest = holds.place(concert_id, "rest", "dee", {"standing": 6})
        assert set(units(rest)) == numbered("standing", 10) - set(units(held)) - set(sold[0][1])
        assert set(units(leaked)) <= set(units(rest))
        holds.release(concert_id, "held", held.claims)
        assert available(holds, concert_id) == {"standing": 2}

    def test_reloaded_hold_still_expires(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        holds.place(concert_id, "held", "bob", {"standing": 3}, life=ENOUGH)
        holds.load(terms(concert_id), [])
        poll(lambda: available(holds, concert_id)["standing"] == 3)

    def test_reload_believes_the_sold_before_the_held(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id, capacities={"standing": 1}), [])
        hold = holds.place(concert_id, "loser", "ada", {"standing": 1})
        holds.load(terms(concert_id, capacities={"standing": 1}), [("winner", [*units(hold), "buyer:bob:1"])])
        holds.release(concert_id, "loser", hold.claims)
        assert available(holds, concert_id) == {"standing": 0}

    def test_fewer_tickets_than_are_sold_are_none_left(self, holds: Holds, concert_id: str) -> None:
        sold = [("sold", [*sorted(numbered("standing", 4)), *(f"buyer:ada:{slot}" for slot in range(1, 5))])]
        holds.load(terms(concert_id, capacities={"standing": 3}), sold)
        assert available(holds, concert_id) == {"standing": 0}
        with pytest.raises(SoldOut):
            holds.place(concert_id, "booking", "bob", {"standing": 1})

    def test_availability_counts_held_and_sold_by_ticket_type(self, holds: Holds, concert_id: str) -> None:
        on_sale = terms(concert_id, capacities={"standing": 10, "balcony": 5, "box": 1}, opens_in=timedelta(hours=-1))
        holds.load(on_sale, [])
        holds.place(concert_id, "held", "ada", {"standing": 3, "balcony": 1})
        holds.place(concert_id, "sold", "bob", {"standing": 2})
        holds.settle(concert_id, "sold")
        assert holds.availability(concert_id) == {
            "ticket_types": [
                {"code": "balcony", "capacity": 5, "available": 4},
                {"code": "box", "capacity": 1, "available": 1},
                {"code": "standing", "capacity": 10, "available": 5},
            ],
            "sales": {
                "open": True,
                "sales_open_at": on_sale["sales_open_at"],
                "sales_close_at": on_sale["sales_close_at"],
            },
        }

    def test_concerts_do_not_touch_each_other(self, holds: Holds, concert_id: str) -> None:
        holds.load(terms(concert_id), [])
        with pytest.raises(NotLoaded):
            holds.place(concert_id + "2", "booking", "ada", {"standing": 1})


def refused(holds: Holds, concert_id: str, owner: str, refusal: type[Exception], buyer: str = "bob") -> bool:
    """Whether *owner* asks for a ticket in vain."""
    try:
        holds.place(concert_id, owner, buyer, {"standing": 1})
    except refusal:
        return True
    return False


def kinds(hold: Hold) -> list[str]:
    """`unit:standing` for `unit:standing:17`, `buyer` for a slot."""
    return [claim.rpartition(":")[0] if claim.startswith("unit:") else "buyer" for claim in hold.claims]


def units(hold: Hold) -> list[str]:
    return [claim for claim in hold.claims if claim.startswith("unit:")]


def numbered(code: str, highest: int) -> set[str]:
    return {f"unit:{code}:{number}" for number in range(1, highest + 1)}


def available(holds: Holds, concert_id: str) -> Mapping[str, int]:
    return {t["code"]: t["available"] for t in holds.availability(concert_id)["ticket_types"]}
