"""What goes to a server together is answered, and done, as if each had gone alone."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from pymongo.errors import AutoReconnect, OperationFailure
from redis import Redis
from redis.exceptions import ResponseError

from booking_svc.audit.reading import Audit
from booking_svc.bookings import Bookings, ClaimTaken
from booking_svc.contract import SalesClosed, SoldOut
from booking_svc.domain import BookingDocument, booking_id
from booking_svc.scripts import concert_key
from rabbitmq.database import Document
from rabbitmq.errors import Unavailable
from rabbitmq.group_commit import GroupCommit
from tests.integration.booking_svc.keys import forget
from tests.integration.booking_svc.process import Process
from tests.polling import poll
from tests.unit.booking_svc.bookings_contract import closed
from tests.unit.booking_svc.concerts import draft, items, new_id, terms
from tests.unit.booking_svc.interruptions import Killed, before

BUYERS = ["ada", "bob", "cy"]


def together(
    group: GroupCommit[Any, Any], acts: Sequence[Callable[[], Any]], meanwhile: Callable[[], Any] = lambda: None
) -> list[Any]:
    """What each returns or raises, when what they ask of a server goes there in one group, in this order."""
    with ThreadPoolExecutor(len(acts)) as pool:
        group._is_led = True
        asked = []
        for count, act in enumerate(acts, start=1):
            asked.append(pool.submit(act))
            poll(lambda: len(group._waiting) == count, every=0.001)  # noqa: B023
        meanwhile()
        group._pass_on()
        return [outcome(one) for one in asked]


def outcome(asked: Future[Any]) -> Any:
    return asked.exception(20) or asked.result()


# --- bookings


class Write(NamedTuple):
    """A booking that somebody wants to be written; *what* may be wrong with it."""

    buyer: str
    key: str
    unit: int
    what: str


writes = st.lists(
    st.builds(
        Write,
        st.sampled_from(BUYERS),
        st.sampled_from(["k1", "k2"]),
        st.integers(1, 3),
        st.sampled_from(["right", "right", "right", "late", "claimless"]),
    ),
    min_size=1,
    max_size=8,
)


class Concert:
    """One run of the same story: its own concert, its own buyers."""

    def __init__(self, bookings: Bookings) -> None:
        self.bookings, self.id = bookings, new_id()

    def write(self, wanted: Write) -> Callable[[], BookingDocument]:
        on_sale = closed(self.id) if wanted.what == "late" else terms(self.id)
        asked = draft(on_sale, f"standing:{wanted.unit}", user_id=wanted.buyer + self.id, key=wanted.key)
        if wanted.what == "claimless":
            asked["claims"] = []
        return lambda: self.bookings.confirm(asked)

    def try_to(self, write: Callable[[], BookingDocument]) -> BookingDocument | Exception:
        try:
            return write()
        except Exception as error:
            return error

    def told(self, answer: BookingDocument | BaseException) -> object:
        """The answer, without what differs between two runs."""
        if isinstance(answer, ClaimTaken):
            return "taken", self.whose(answer.owner), self.without_names(answer.claims)
        if isinstance(answer, OperationFailure):
            return "invalid", answer.code
        if isinstance(answer, BaseException):
            return repr(answer)
        return answer["status"], self.whose(answer["_id"]), self.without_names(answer["claims"])

    def whose(self, owner: str | None) -> list[tuple[str, str]]:
        return [(b, key) for b in BUYERS for key in ("k1", "k2") if booking_id(b + self.id, key) == owner]

    def without_names(self, claims: Sequence[str]) -> list[str]:
        return [claim.replace(self.id, "") for claim in claims]

    def sold(self) -> list[object]:
        return sorted([self.whose(owner), self.without_names(claims)] for owner, claims in self.bookings.sold(self.id))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(story=writes)
def test_bookings_written_together_are_answered_as_if_each_were_alone(bookings: Bookings, story: list[Write]) -> None:
    alone, grouped = Concert(bookings), Concert(bookings)
    one_by_one = [alone.try_to(alone.write(wanted)) for wanted in story]
    for number, wanted in enumerate(story):  # who is too late is told of what the same key booked until the look
        booked = bookings.find(booking_id(wanted.buyer + alone.id, wanted.key))
        if isinstance(one_by_one[number], SalesClosed) and booked:
            one_by_one[number] = booked
    at_once = together(bookings._confirming, [grouped.write(wanted) for wanted in story])
    assert [grouped.told(answer) for answer in at_once] == [alone.told(answer) for answer in one_by_one]
    assert grouped.sold() == alone.sold()


def test_bookings_looked_for_together_are_each_found_or_not(bookings: Bookings, concert_id: str) -> None:
    stored = [bookings.confirm(draft(terms(concert_id), f"standing:{n}")) for n in (1, 2)]
    wanted = [stored[0]["_id"], new_id(), stored[1]["_id"], stored[0]["_id"]]
    found = together(bookings._finding, [lambda id_=id_: bookings.find(id_) for id_ in wanted])
    assert found == [stored[0], None, stored[1], stored[0]]


# --- holds


def test_one_script_that_fails_leaves_the_others_of_its_group_alone(process: Process, redis: Redis) -> None:
    concerts = [new_id() for _ in range(3)]
    for concert in concerts:
        process.inventory.set_terms(terms(concert, capacities={"standing": 1}))
    process.box_office.book("ada", new_id(), concerts[0], items(standing=1))
    redis.set(concert_key(concerts[1], "holds"), "no hash")
    first, second, third, fourth = together(
        process.holds._scripts._trips._group,
        [lambda c=c: process.box_office.hold("bob", new_id(), c, items(standing=1)) for c in (*concerts, concerts[2])],
    )
    assert isinstance(first, SoldOut)
    assert isinstance(second, ResponseError)
    assert third["concert_id"] == concerts[2]
    assert isinstance(fourth, SoldOut)
    for concert in concerts:
        forget(redis, concert)


def test_scripts_that_redis_has_forgotten_are_told_again_in_the_middle_of_a_group(
    process: Process, redis: Redis, concert_id: str
) -> None:
    process.inventory.set_terms(terms(concert_id))
    keys = [new_id() for _ in range(3)]
    redis.script_flush()
    held = together(
        process.holds._scripts._trips._group,
        [lambda k=k: process.box_office.hold("ada", k, concert_id, items(standing=1)) for k in keys],
    )
    assert [hold["tickets"][0]["ticket_type"] for hold in held] == ["standing"] * 3
    assert process.available(concert_id)["standing"] == 0


# --- whole purchases, and the end of a process in the middle of a group


class Crowd:
    """Buyers who all book at once, through processes that may die."""

    def __init__(self, new_process: Callable[[], Process], redis: Redis, mongo: Database[Document]) -> None:
        self.new_process, self.redis, self.mongo, self.id = new_process, redis, mongo, new_id()
        self.process = new_process()
        self.process.inventory.set_terms(terms(self.id, capacities={"standing": 20}, limit=2))
        self.buyers = [new_id() for _ in range(6)]

    def book(self, process: Process, buyer: str, redelivered: bool = False) -> tuple[BookingDocument, bool]:
        return process.box_office.book(buyer, "key", self.id, items(standing=2), redelivered=redelivered)

    def book_together(self, meanwhile: Callable[[], Any] = lambda: None) -> list[Any]:
        """Their bookings are written in one group; *meanwhile* comes before that."""
        acts = [lambda b=b: self.book(self.process, b) for b in self.buyers]
        return together(self.process.bookings._confirming, acts, meanwhile)

    def must_each_have_one_booking(self) -> None:
        """After RabbitMQ has given the request of each to another process."""
        again = self.new_process()
        told = [self.book(again, buyer, redelivered=True)[0] for buyer in self.buyers]
        assert [booking["user_id"] for booking in told] == self.buyers
        assert {owner for owner, _ in again.bookings.sold(self.id)} == {booking["_id"] for booking in told}
        assert again.available(self.id) == {"standing": 20 - 12}
        assert Audit(self.mongo, self.mongo, self.redis, pause=0.02).concert(self.id) == set()


@pytest.fixture
def crowd(new_database: Callable[[], Database[Document]], redis: Redis) -> Iterator[Crowd]:
    mongo = new_database()
    crowd = Crowd(lambda: Process(redis, mongo), redis, mongo)
    yield crowd
    forget(redis, crowd.id)


def kill() -> None:
    raise Killed


def disconnect() -> None:
    raise AutoReconnect("as the test asked")


def test_crowd_that_books_together_is_served(crowd: Crowd) -> None:
    told = crowd.book_together()
    assert [booking["user_id"] for booking, _ in told] == crowd.buyers
    assert not any(replayed for _, replayed in told)
    crowd.must_each_have_one_booking()


@pytest.mark.parametrize("what", [kill, disconnect])
@pytest.mark.parametrize("step", ["bulk_write", "find"], ids=["before the write", "after the write"])
def test_crowd_whose_group_was_interrupted_is_served_by_another_process(
    crowd: Crowd, step: str, what: Callable[[], None]
) -> None:
    told = crowd.book_together(meanwhile=lambda: before(crowd.process.bookings._bookings, step, what))
    assert all(isinstance(answer, (Killed, Unavailable, AutoReconnect)) for answer in told)
    crowd.must_each_have_one_booking()
