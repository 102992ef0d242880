"""What an organiser may change, and when."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from concert_svc import editing
from concert_svc.contract import InvalidConcert, StartsTooSoon, WrongState
from concert_svc.domain import PUBLIC
from rabbitmq.times import to_wire
from tests.unit.concert_svc.concerts import NEW, NOW, SEATED, a_draft, in_seconds, on_sale

STANDING = NEW["ticket_types"][0]
EUR = {"amount": 4500, "currency": "EUR"}


def update(concert: Any, now: datetime = NOW, **asked: Any) -> editing.Fields:
    return editing.update(concert, asked, now)  # type: ignore[arg-type]


# --- states


@pytest.mark.parametrize("concert", [a_draft(), on_sale()], ids=["draft", "on sale"])
def test_draft_and_what_is_on_sale_can_be_changed(concert: Any) -> None:
    assert update(concert, title="Night of the Flutes") == {"title": "Night of the Flutes"}


@pytest.mark.parametrize("status", ["closed", "finished", "cancelled"])
def test_nothing_else_can_be_changed(status: str) -> None:
    with pytest.raises(WrongState):
        update({**on_sale(), "status": status}, title="Night of the Flutes")


@pytest.mark.parametrize(("before_close", "allowed"), [(0.001, True), (0, False), (-1, False)])
def test_concert_is_changed_until_its_sales_close_though_nobody_saved_that(before_close: float, allowed: bool) -> None:
    concert = on_sale()
    now = concert["sales_close_at"] - timedelta(seconds=before_close)
    if allowed:
        assert update(concert, now, title="Night of the Flutes")
    else:
        with pytest.raises(WrongState):
            update(concert, now, title="Night of the Flutes")


def test_draft_is_published_and_publishing_again_changes_nothing() -> None:
    assert editing.publish(a_draft(), NOW) == {"status": "published", "published_at": NOW}
    assert editing.publish(on_sale(), NOW) == {}


@pytest.mark.parametrize("status", ["closed", "finished", "cancelled"])
def test_what_was_on_sale_is_not_published_again(status: str) -> None:
    with pytest.raises(WrongState):
        editing.publish({**on_sale(), "status": status}, NOW)


@pytest.mark.parametrize(
    ("before_start", "allowed"), [(11, True), (10.001, True), (10, False), (9.999, False), (0, False), (-1, False)]
)
def test_draft_is_published_only_before_its_sales_close(before_start: float, allowed: bool) -> None:
    draft = a_draft()
    now = draft["starts_at"] - timedelta(seconds=before_start)
    if allowed:
        assert editing.publish(draft, now)["status"] == "published"
    else:
        with pytest.raises(StartsTooSoon):
            editing.publish(draft, now)


@pytest.mark.parametrize("status", ["published", "closed"])
def test_concert_is_called_off_until_it_is_over(status: str) -> None:
    assert editing.cancel({**on_sale(), "status": status}, NOW) == {"status": "cancelled", "cancelled_at": NOW}


def test_calling_off_again_changes_nothing() -> None:
    assert editing.cancel({**on_sale(), "status": "cancelled"}, NOW) == {}


@pytest.mark.parametrize("status", ["draft", "finished"])
def test_draft_is_not_called_off_and_neither_is_what_is_over(status: str) -> None:
    with pytest.raises(WrongState):
        editing.cancel({**on_sale(), "status": status}, NOW)


def test_draft_is_deleted_and_nothing_else() -> None:
    assert editing.delete(a_draft(), NOW) == {"status": "deleted"}
    for status in PUBLIC:
        with pytest.raises(WrongState):
            editing.delete({**on_sale(), "status": status}, NOW)


# --- the schedule


@pytest.mark.parametrize("concert", [a_draft(), on_sale()], ids=["draft", "on sale"])
@pytest.mark.parametrize("seconds", [-1, 0, 9.999, 10])
def test_concert_is_not_moved_to_where_its_sales_have_closed(concert: Any, seconds: float) -> None:
    with pytest.raises(StartsTooSoon):
        update(concert, starts_at=in_seconds(seconds))


@pytest.mark.parametrize("concert", [a_draft(), on_sale()], ids=["draft", "on sale"])
@pytest.mark.parametrize("seconds", [10.001, 60, 49.7 * 86_400, 400 * 86_400])
def test_concert_is_moved_anywhere_else_and_so_is_its_close(concert: Any, seconds: float) -> None:
    starts_at = NOW + timedelta(seconds=seconds)
    fields = update(concert, starts_at=to_wire(starts_at))
    assert fields == {"starts_at": starts_at, "sales_close_at": starts_at - timedelta(seconds=10)}


def test_what_is_the_same_already_is_no_change() -> None:
    concert = on_sale()
    same = {name: NEW[name] for name in ("title", "performers", "venue", "ticket_types")}  # type: ignore[literal-required]
    assert update(concert, starts_at="2027-01-20T20:00:00+01:00", **same) == {}


def test_same_start_may_be_sent_along_when_it_is_near() -> None:
    concert = on_sale()
    now = concert["sales_close_at"] - timedelta(seconds=1)
    assert update(concert, now, starts_at=to_wire(concert["starts_at"]), title="X") == {"title": "X"}


def test_doors_keep_their_distance_to_the_start() -> None:
    concert = on_sale(doors_at="2027-01-20T18:00:00Z")
    assert update(concert, starts_at="2027-02-20T19:30:00Z")["doors_at"] == datetime(2027, 2, 20, 18, 30, tzinfo=UTC)
    said = update(concert, starts_at="2027-02-20T19:30:00Z", doors_at="2027-02-20T17:00:00Z")
    assert said["doors_at"] == datetime(2027, 2, 20, 17, tzinfo=UTC)
    assert update(concert, starts_at="2027-02-20T19:30:00Z", doors_at=None)["doors_at"] is None


def test_concert_moved_across_a_change_of_clocks_starts_when_it_is_said_to() -> None:
    """At the end of March the clocks in Berlin go forward: 20:00 there is an hour earlier in UTC."""
    berlin = ZoneInfo("Europe/Berlin")
    winter, summer = (datetime(2027, 3, day, 20, tzinfo=berlin) for day in (27, 28))
    concert = on_sale(starts_at=to_wire(winter), doors_at=to_wire(winter - timedelta(hours=2)))
    fields = update(concert, starts_at=to_wire(summer))
    assert fields["starts_at"] - concert["starts_at"] == timedelta(hours=23)
    assert fields["starts_at"].astimezone(berlin).hour == 20
    assert fields["doors_at"].astimezone(berlin).hour == 18
    assert fields["starts_at"] - fields["sales_close_at"] == timedelta(seconds=10)


def test_sales_that_would_open_after_the_new_start_are_refused_by_name() -> None:
    concert = on_sale(sales_open_at="2027-01-10T12:00:00Z")
    with pytest.raises(InvalidConcert) as refusal:
        update(concert, starts_at="2027-01-09T19:00:00Z")
    assert refusal.value.args[0] == "sales_open_at"
    update(concert, starts_at="2027-01-09T19:00:00Z", sales_open_at=None)


# --- ticket types


def test_ticket_types_of_a_draft_are_changed_at_will() -> None:
    assert [t["code"] for t in update(a_draft(), ticket_types=[SEATED])["ticket_types"]] == ["balcony"]


def test_type_is_added_and_capacity_and_price_are_changed_while_on_sale() -> None:
    changed = update(on_sale(), ticket_types=[{**STANDING, "capacity": 20, "price": {**EUR, "amount": 9}}, SEATED])
    assert [(t["code"], t["capacity"]) for t in changed["ticket_types"]] == [("standing", 20), ("balcony", 32)]


@pytest.mark.parametrize(
    ("types", "why"),
    [
        ([SEATED], "left out"),
        ([{**STANDING, "price": {"amount": 4500, "currency": "USD"}}], "currency"),
        ([{**SEATED, "code": "standing"}], "seats"),
    ],
)
def test_what_is_on_sale_stays_what_it_is(types: Any, why: str) -> None:
    with pytest.raises(InvalidConcert) as refusal:
        update(on_sale(), ticket_types=types)
    assert refusal.value.args[0] == "ticket_types" and why in refusal.value.args[1]


def test_seating_is_only_added_at_its_end_while_on_sale() -> None:
    concert = on_sale(ticket_types=[SEATED])
    more = {**SEATED, "seating": [*SEATED["seating"], {"section": "D", "rows": ["1"], "seats_per_row": 5}]}
    assert update(concert, ticket_types=[more])["ticket_types"][0]["capacity"] == 37
    for other in (SEATED["seating"][::-1], SEATED["seating"][:1], [{**SEATED["seating"][0], "seats_per_row": 11}]):
        with pytest.raises(InvalidConcert):
            update(concert, ticket_types=[{**SEATED, "seating": other}])


def test_seats_are_blocked_and_unblocked_while_on_sale() -> None:
    concert = on_sale(ticket_types=[SEATED])
    changed = update(concert, ticket_types=[{**SEATED, "blocked_seats": ["B-1-1", "C-1-4", "C-1-3"]}])
    assert changed["ticket_types"][0]["capacity"] == 31
