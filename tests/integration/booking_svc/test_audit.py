"""The audit of real stores: clean after whatever buyers do, and not after somebody has tampered with them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo.database import Database
from redis import Redis

from booking_svc.audit.checks import Breach
from booking_svc.audit.reading import Audit
from booking_svc.domain import read_hold_id
from booking_svc.marks import mark_of
from booking_svc.scripts import concert_key
from rabbitmq.database import Document
from tests.harm import again_and_again
from tests.integration.booking_svc.keys import forget
from tests.integration.booking_svc.process import Process
from tests.polling import poll
from tests.unit.booking_svc.concerts import hall, items, new_id, seats, terms


class Shop:
    """A concert of which something is sold, held, cancelled, and an audit of its database."""

    def __init__(self, process: Process, mongo: Database[Document], redis: Redis, concert_id: str) -> None:
        self.process, self.mongo, self.redis, self.id = process, mongo, redis, concert_id
        self.audit = Audit(mongo, mongo, redis, pause=0.05)
        office = process.box_office
        process.inventory.set_terms(
            terms(concert_id, capacities={"standing": 9}, seating={"stalls": hall("1", "2", blocked_seats=["B-1-1"])})
        )
        self.sold, _ = office.book("ada", new_id(), concert_id, [*items(standing=2), *seats("stalls", "B-1-2")])
        self.held = office.hold("bob", new_id(), concert_id, items(standing=1, stalls=2))
        gone, _ = office.book("cy", new_id(), concert_id, items(standing=1))
        office.cancel("cy", gone["_id"])
        booked = office.hold("dee", new_id(), concert_id, items(stalls=1))
        office.book_hold("dee", new_id(), booked["id"])

    def breaches(self) -> set[Breach]:
        return self.audit.concert(self.id) | self.audit.tickets_and_mails()

    def change(self, field: str, value: Any) -> None:
        self.mongo["bookings"].update_one({"_id": self.sold["_id"]}, {"$set": {field: value}})

    def key(self, name: str) -> str:
        return concert_key(self.id, name)


@pytest.fixture
def shop(new_database: Callable[[], Database[Document]], redis: Redis, concert_id: str) -> Iterator[Shop]:
    mongo = new_database()
    yield Shop(Process(redis, mongo), mongo, redis, concert_id)


def test_nothing_is_found_where_all_is_well(shop: Shop) -> None:
    assert shop.audit.concerts() == [shop.id]
    assert shop.breaches() == set()


def test_nothing_is_found_when_redis_has_lost_the_concert(shop: Shop) -> None:
    forget(shop.redis, shop.id)
    assert shop.breaches() == set()
    shop.process.available(shop.id)
    assert shop.breaches() == set()


def free_a_sold_unit(shop: Shop) -> str:
    shop.redis.setbit(shop.key("taken:standing"), 1, 0)
    shop.redis.setrange(shop.key("owners:standing"), 8, "\0" * 8)
    return str(shop.sold["_id"])


def leak_a_unit(shop: Shop) -> str:
    shop.redis.setbit(shop.key("taken:standing"), 9, 1)
    shop.redis.setrange(shop.key("owners:standing"), 72, "leaked!!")
    return "standing:9"


def leak_a_slot(shop: Shop) -> str:
    shop.redis.hset(shop.key("buyers"), "eve", "leaked!!")
    return "slot 1 of user eve"


def lose_a_hold(shop: Shop) -> str:
    mark = mark_of(read_hold_id("bob", shop.held["id"]).nonce)
    shop.redis.hdel(shop.key("holds"), mark)
    shop.redis.zrem(shop.key("expiries"), mark)
    return mark


def hold_what_is_sold(shop: Shop) -> str:
    mark = mark_of(read_hold_id("bob", shop.held["id"]).nonce)
    hold = json.loads(shop.redis.hget(shop.key("holds"), mark) or "")
    hold["units"][0] = ["standing", 1]
    shop.redis.hset(shop.key("holds"), mark, json.dumps(hold))
    return f"standing:1: booking {shop.sold['_id']} and hold {mark}"


def keep_a_hold_for_ever(shop: Shop) -> str:
    mark = mark_of(read_hold_id("bob", shop.held["id"]).nonce)
    hold = json.loads(shop.redis.hget(shop.key("holds"), mark) or "")
    shop.redis.hset(shop.key("holds"), mark, json.dumps({**hold, "expires": 1}))
    shop.redis.zadd(shop.key("expiries"), {mark: "+inf"})
    return mark


def give_tickets_away(shop: Shop) -> str:
    offered = json.loads(shop.redis.hget(shop.key("terms"), "type:standing") or "")
    offered["price"]["amount"] = 1
    shop.redis.hset(shop.key("terms"), "type:standing", json.dumps(offered))
    return "type:standing"


def leave_a_bit(shop: Shop) -> str:
    shop.redis.setbit(shop.key("taken:stalls"), 12, 1)
    return "stalls:B-2-6"


def sell_twice(shop: Shop) -> str:
    shop.mongo["bookings"].drop_index("one_owner_per_claim")
    shop.mongo["bookings"].insert_one({**shop.sold, "_id": "twin", "outbox": []})
    return "twin"


def use_a_code_twice(shop: Shop) -> str:
    shop.change("tickets.0.code", shop.sold["tickets"][1]["code"])
    return str(shop.sold["_id"])


def charge_too_little(shop: Shop) -> str:
    shop.change("total.amount", 1)
    return str(shop.sold["_id"])


def confirm_too_late(shop: Shop) -> str:
    shop.change("confirmed_at", shop.sold["sales_close_at"])
    return str(shop.sold["_id"])


def change_the_key(shop: Shop) -> str:
    shop.change("idempotency_key", "another")
    return str(shop.sold["_id"])


def lower_the_limit(shop: Shop) -> str:
    shop.mongo["terms"].update_one(
        {"_id": shop.id}, {"$set": {"terms.max_tickets_per_user": 2, "versions.$[].max_tickets_per_user": 2}}
    )
    return "user ada"


def lower_the_capacity(shop: Shop) -> str:
    shop.mongo["terms"].update_one({"_id": shop.id}, {"$set": {"terms.ticket_types.0.capacity": 2}})
    return "standing: more than 2"


def mail_nobody(shop: Shop) -> str:
    shop.mongo["ledger"].insert_one(
        {"kind": "confirmation", "booking_id": "none", "message_id": "<x>", "state": "sent"}
    )
    return "<x>"


PLANTED: list[tuple[Callable[[Shop], str], str]] = [
    (sell_twice, "sold_once"),
    (lower_the_limit, "limit"),
    (lower_the_capacity, "capacity"),
    (free_a_sold_unit, "not_free"),
    (leak_a_unit, "not_lost"),
    (leak_a_slot, "not_lost"),
    (lose_a_hold, "not_lost"),
    (hold_what_is_sold, "not_free"),
    (leave_a_bit, "not_lost"),
    (keep_a_hold_for_ever, "not_lost"),
    (give_tickets_away, "terms"),
    (charge_too_little, "whole"),
    (change_the_key, "one_key"),
    (confirm_too_late, "in_time"),
    (use_a_code_twice, "codes"),
    (mail_nobody, "mail"),
]


@pytest.mark.parametrize(("corrupt", "invariant"), PLANTED, ids=lambda value: getattr(value, "__name__", value))
def test_planted_corruption_is_found_and_named(shop: Shop, corrupt: Callable[[Shop], str], invariant: str) -> None:
    culprit = corrupt(shop)
    found = [breach.what for breach in shop.breaches() if breach.invariant == invariant]
    assert any(culprit in what for what in found), found


def test_sale_in_full_swing_is_not_suspected(shop: Shop) -> None:
    def buy() -> None:
        buyer = new_id()
        booking, _ = shop.process.box_office.book(buyer, new_id(), shop.id, items(standing=1))
        shop.process.box_office.cancel(buyer, booking["_id"])

    with again_and_again(buy, every=0, at_most=10**6) as sold, again_and_again(buy, every=0, at_most=10**6):
        found = [shop.audit.concert(shop.id) for _ in range(5)]
        poll(sold)
    assert not any(found)
