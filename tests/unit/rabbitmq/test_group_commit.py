import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rabbitmq.errors import Unavailable
from rabbitmq.group_commit import GroupCommit
from tests.polling import poll
from tests.unit.booking_svc.interruptions import Killed


class Refused(Exception):
    """The server says no to one of them."""


class Server:
    """Doubles numbers and refuses negative ones; the next trip waits at the door until it is opened."""

    def __init__(self, at_most: int = 64) -> None:
        self.trips: list[list[int]] = []
        self.on_trip: Callable[[Sequence[int]], None] = lambda _: None
        self.door = threading.Event()
        self.door.set()
        self.group = GroupCommit(self.carry_out, at_most)

    def carry_out(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.trips.append(list(numbers))
        self.door.wait(10)
        self.on_trip(numbers)
        return [Refused(number) if number < 0 else 2 * number for number in numbers]

    def ask_while_busy(self, numbers: Sequence[int]) -> list[int | BaseException]:
        """What each is answered, when all have come while the server was busy with a 0."""
        self.door.clear()
        with ThreadPoolExecutor(len(numbers) + 1) as pool:
            asked = [pool.submit(self.group.ask, 0)]
            poll(lambda: self.trips)
            for count, number in enumerate(numbers, start=1):
                asked.append(pool.submit(self.group.ask, number))
                poll(lambda: len(self.group._waiting) == count)  # noqa: B023
            self.door.set()
            return [outcome(one) for one in asked[1:]]


def outcome(asked: Future[int]) -> int | BaseException:
    error = asked.exception(10)
    return asked.result() if error is None else error


def test_who_finds_nobody_goes_at_once_and_alone() -> None:
    server = Server()
    assert [server.group.ask(number) for number in (1, 2, 3)] == [2, 4, 6]
    assert server.trips == [[1], [2], [3]]


def test_who_waits_goes_together_in_the_order_in_which_they_came() -> None:
    server = Server()
    assert server.ask_while_busy([1, 2, 3]) == [2, 4, 6]
    assert server.trips == [[0], [1, 2, 3]]


def test_group_is_no_larger_than_it_may_be() -> None:
    server = Server(at_most=2)
    assert server.ask_while_busy([1, 2, 3, 4, 5]) == [2, 4, 6, 8, 10]
    assert server.trips == [[0], [1, 2], [3, 4], [5]]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9), st.integers(1, 4))
def test_each_is_answered_as_if_it_were_alone(numbers: list[int], at_most: int) -> None:
    def answered(what: int | BaseException) -> object:
        return ("refused", *what.args) if isinstance(what, Refused) else what

    alone = [2 * number if number >= 0 else ("refused", number) for number in numbers]
    assert [answered(what) for what in Server(at_most).ask_while_busy(numbers)] == alone


def test_what_befalls_a_trip_befalls_all_on_it_and_nobody_else() -> None:
    server = Server(at_most=2)

    def fail(numbers: Sequence[int]) -> None:
        if 3 in numbers:
            raise ConnectionError("the server has gone")

    server.on_trip = fail
    first, second, third, fourth, fifth = server.ask_while_busy([1, 2, 3, 4, 5])
    assert (first, second, fifth) == (2, 4, 10)
    assert isinstance(third, ConnectionError) and isinstance(fourth, ConnectionError)


def test_others_are_told_and_go_on_when_their_leader_is_killed() -> None:
    server = Server(at_most=2)

    def kill(numbers: Sequence[int]) -> None:
        if 1 in numbers:
            raise Killed

    server.on_trip = kill
    leader, companion, other = server.ask_while_busy([1, 2, 3])
    assert isinstance(leader, Killed)
    assert isinstance(companion, Unavailable), "nobody knows what was done for it"
    assert other == 6
    assert server.group.ask(7) == 14


def test_answer_that_is_missing_is_everybodys_error_and_nobody_waits_for_ever() -> None:
    group = GroupCommit[int, int](lambda numbers: list(numbers[1:]))
    with pytest.raises(ValueError):
        group.ask(1)
    with pytest.raises(ValueError):
        group.ask(2)


def test_answer_may_be_nothing() -> None:
    group = GroupCommit[int, None](lambda numbers: [None] * len(numbers))
    assert group.ask(1) is None


def test_crowd_is_answered_each_its_own() -> None:
    server = Server()
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(server.group.ask, range(500))) == [2 * number for number in range(500)]
    assert sorted(number for trip in server.trips for number in trip) == list(range(500))
