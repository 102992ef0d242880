"""A few go as they come; while they are away the others wait, and go together."""

import json
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import calls, crowds
from gateway.calls import Call
from gateway.crowds import FEW, PATIENCE, TOGETHER, Crowd
from rabbitmq.batches import calls_in


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its one item is the time."""
    now = [1000.0]
    monkeypatch.setattr(crowds.time, "monotonic", lambda: now[0])
    return now


def a_call(number: int = 0) -> Call:
    return Call("booking_svc", "book_tickets", calls.encoded({"number": number}), {}, deadline=1e9)


def joined(crowd: Crowd, count: int) -> list[Call]:
    those = [a_call(number) for number in range(count)]
    for call in those:
        crowd.join(call)
    return those


def sizes(groups: Sequence[Sequence[Call]]) -> list[int]:
    return [len(group) for group in groups]


def test_few_go_alone_and_at_once(clock: list[float]) -> None:
    crowd = Crowd()
    for _ in range(FEW):
        joined(crowd, 1)
        assert sizes([*crowd.leaving()]) == [1]
    joined(crowd, 1)
    assert [*crowd.leaving()] == [] and crowd.is_waiting()


def test_those_who_waited_go_together_when_an_answer_has_come(clock: list[float]) -> None:
    crowd = Crowd()
    first = joined(crowd, FEW)
    assert sizes([*crowd.leaving()]) == [FEW]
    joined(crowd, TOGETHER)
    assert [*crowd.leaving()] == []
    crowd.note_answer(first[0].id)
    assert sizes([*crowd.leaving()]) == [TOGETHER] and not crowd.is_waiting()


def test_no_more_go_in_one_message_than_one_process_may_lose(clock: list[float]) -> None:
    crowd = Crowd()
    joined(crowd, TOGETHER + 1)
    assert sizes([*crowd.leaving()]) == [TOGETHER] and crowd.is_waiting()


def test_those_who_are_not_answered_are_waited_for_no_longer_than_it_is_worth(clock: list[float]) -> None:
    crowd = Crowd()
    joined(crowd, TOGETHER)
    assert sizes([*crowd.leaving()]) == [TOGETHER]
    joined(crowd, 3)
    clock[0] += PATIENCE * 0.9
    assert [*crowd.leaving()] == []
    clock[0] += PATIENCE * 0.2
    assert sizes([*crowd.leaving()]) == [3]


def test_answer_of_somebody_unknown_is_no_matter(clock: list[float]) -> None:
    crowd = Crowd()
    joined(crowd, FEW)
    assert sizes([*crowd.leaving()]) == [FEW]
    crowd.note_answer("another")
    joined(crowd, 1)
    assert [*crowd.leaving()] == []


@given(st.lists(st.sampled_from(["join", "answer", "later", "leave"]), max_size=120))
def test_each_goes_once_in_its_turn_and_nobody_waits_for_ever(steps: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        now = [1000.0]
        patch.setattr(crowds.time, "monotonic", lambda: now[0])
        crowd, came, went, away = Crowd(), [], [], deque[str]()

        def leave() -> None:
            for group in crowd.leaving():
                assert 1 <= len(group) <= TOGETHER
                went.extend(call.id for call in group)
                away.extend(call.id for call in group)

        for step in steps:
            if step == "join":
                came += [call.id for call in joined(crowd, 1)]
            elif step == "answer" and away:
                crowd.note_answer(away.popleft())
            elif step == "later":
                now[0] += PATIENCE / 3
            else:
                leave()
        while crowd.is_waiting():
            now[0] += PATIENCE
            leave()
        assert went == came


def test_batch_says_of_each_call_what_it_would_say_alone() -> None:
    asked = [Call("booking_svc", "book_tickets", calls.encoded({"n": n}), {"nameko.x": n}, 1e9) for n in range(3)]
    written = calls.batch(asked)
    assert calls.ids_in(written) == [call.id for call in asked]
    read: Any = calls_in(json.loads(written))
    for call, one in zip(asked, read, strict=True):
        alone = json.loads(call.body)
        assert one == {**alone, "id": call.id, "headers": call.headers, "expiration": one["expiration"]}
        assert int(one["expiration"]) > 0


GOOD = {"id": "1", "expiration": "9", "headers": {}, "args": [], "kwargs": {}}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        [GOOD],
        {},
        {"batch": None},
        {"batch": []},
        {"batch": GOOD},
        {"batch": [GOOD, None]},
        *({"batch": [GOOD, {**GOOD, name: None}]} for name in ("id", "expiration", "headers")),
    ],
)
def test_what_is_no_batch_is_none(body: Any) -> None:
    assert calls_in({"batch": [GOOD]}) == [GOOD]
    assert calls_in(body) is None
