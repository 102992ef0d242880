"""Sales close by themselves, ten seconds before the concert, whatever its distance."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from kombu import Connection
from pymongo import MongoClient

from rabbitmq import delays
from tests.e2e.api_client import Box, Person, concert_body, problem, starts_in
from tests.e2e.test_faults import processes
from tests.local_stack import LASTS
from tests.polling import poll


def test_a_concert_that_starts_soon_is_booked_until_it_closes_and_never_after(box: Box) -> None:
    organiser, buyers = box.organiser(), cycle([box.register() for _ in range(10)])
    concert = box.on_sale(organiser, 2000, starts_at=starts_in(seconds=14), max_tickets_per_user=100)
    closes = datetime.fromisoformat(concert["sales_close_at"])
    assert datetime.fromisoformat(concert["starts_at"]) - closes == timedelta(seconds=10)

    confirmed: list[tuple[Person, dict[str, Any]]] = []
    while True:
        sent = datetime.now(UTC)
        buyer = next(buyers)
        answer = buyer.book(concert["id"])
        if answer.status_code != 201:
            break
        confirmed.append((buyer, answer.json()))
    assert problem(answer) == (409, "sales_closed")
    assert datetime.now(UTC) >= closes, "refused while sales were open"
    assert confirmed and all(datetime.fromisoformat(b["confirmed_at"]) < closes for _, b in confirmed)
    assert sent < closes + timedelta(seconds=1)

    closed = poll(lambda: _if_closed(box.http.get(f"/v1/concerts/{concert['id']}").json()), seconds=3)
    assert timedelta(0) <= datetime.fromisoformat(closed["closed_at"]) - closes < timedelta(seconds=1)
    with MongoClient(box.stack.mongo_uri) as mongo:
        assert mongo["concert_svc"]["concerts"].find_one({"_id": concert["id"]})["status"] == "closed"  # type: ignore[index]

    owner, booking = confirmed[0]
    assert problem(owner.post(f"/v1/bookings/{booking['id']}/cancel")) == (409, "not_cancellable")
    assert owner.get(f"/v1/bookings/{booking['id']}").json()["status"] == "confirmed"
    assert not box.http.get(f"/v1/concerts/{concert['id']}/availability").json()["sales"]["open"]


class Hammer:
    """Eight clients who book one ticket after the other, and note what they are told by the database's clock."""

    def __init__(self, box: Box, concert_id: str, mongo: MongoClient[dict[str, Any]]) -> None:
        self.concert_id = concert_id
        self.confirmed: list[datetime] = []
        self.refused: list[tuple[datetime, datetime]] = []  #: sent, answered
        self._mongo = mongo
        with ThreadPoolExecutor(8) as threads:
            self._buyers = list(threads.map(lambda _: box.register(), range(24)))

    def clock(self) -> datetime:
        """The time by the database's clock."""
        return self._mongo.admin.command("hello")["localTime"].replace(tzinfo=UTC)  # type: ignore[no-any-return]

    def until(self, moment: datetime) -> None:
        """Book until *moment*."""
        with ThreadPoolExecutor(8) as threads:
            for done in [threads.submit(self._book_until, moment, self._buyers[n::8]) for n in range(8)]:
                done.result()

    def _book_until(self, moment: datetime, buyers: list[Person]) -> None:
        for buyer in cycle(buyers):
            sent = self.clock()
            if sent >= moment:
                return
            answer = buyer.book(self.concert_id)
            if answer.status_code == 201:
                self.confirmed.append(datetime.fromisoformat(answer.json()["confirmed_at"]))
            elif answer.status_code == 409:
                assert problem(answer) == (409, "sales_closed")
                self.refused.append((sent, self.clock()))

    def check(self, closes: datetime) -> str:
        """Everything was confirmed before *closes* and nothing refused; the other way round after it."""
        last, (sent, answered) = max(self.confirmed), min(self.refused, key=lambda times: times[1])
        report = f"closes {closes:%T.%f}, last confirmed {last:%T.%f}, first refused {sent:%T.%f} to {answered:%T.%f}"
        assert last < closes, report
        assert answered >= closes, report
        assert closes - last < timedelta(seconds=1), report
        stored = list(self._mongo["booking_svc"]["bookings"].find({"concert_id": self.concert_id}))
        assert max(b["confirmed_at"] for b in stored if b["status"] == "confirmed") == last
        traces = [b["refused_at"] for b in stored if b["status"] == "refused"]
        assert all(refused_at >= closes for refused_at in traces)
        return f"{report}; by the write itself {min(traces):%T.%f}" if traces else report


def in_time(moment: datetime, **distance: float) -> datetime:
    return moment + timedelta(**distance)


def wait_until(moment: datetime) -> None:
    poll(lambda: datetime.now(UTC) >= moment, seconds=120, every=0.05)


@pytest.mark.long
def test_concert_in_forty_seconds_is_booked_to_its_last_moment_and_not_beyond(box: Box) -> None:
    concert = box.on_sale(box.organiser(), 100_000, starts_at=starts_in(seconds=40), max_tickets_per_user=100)
    closes = datetime.fromisoformat(concert["sales_close_at"])
    with MongoClient(box.stack.mongo_uri, tz_aware=True) as mongo:
        hammer = Hammer(box, concert["id"], mongo)
        wait_until(in_time(closes, seconds=-3))
        hammer.until(in_time(closes, seconds=1.5))
        print(hammer.check(closes), f"; {len(hammer.confirmed)} confirmed, {len(hammer.refused)} refused")
    closed = poll(lambda: _if_closed(box.http.get(f"/v1/concerts/{concert['id']}").json()), seconds=3)
    assert timedelta(0) <= datetime.fromisoformat(closed["closed_at"]) - closes < timedelta(seconds=1)
    box.stack.must_be_sound()


@pytest.mark.long
@pytest.mark.parametrize(("planned", "moved_to"), [(40, 60), (75, 45)], ids=["later", "earlier"])
def test_moved_concert_closes_at_the_new_time_only(box: Box, planned: float, moved_to: float) -> None:
    organiser, began = box.organiser(), datetime.now(UTC)
    starts_at = in_time(began, seconds=planned).isoformat()
    concert = box.on_sale(organiser, 100_000, starts_at=starts_at, max_tickets_per_user=100)
    path, planned_close = f"/v1/concerts/{concert['id']}", datetime.fromisoformat(concert["sales_close_at"])
    moved = organiser.patch(path, {"starts_at": in_time(began, seconds=moved_to).isoformat()}).json()
    closes = datetime.fromisoformat(moved["sales_close_at"])
    with MongoClient(box.stack.mongo_uri, tz_aware=True) as mongo:
        hammer = Hammer(box, concert["id"], mongo)
        if planned < moved_to:
            wait_until(in_time(planned_close, seconds=-1))
            hammer.until(in_time(planned_close, seconds=1))
            assert not hammer.refused and max(hammer.confirmed) > planned_close
            assert box.http.get(path).json()["status"] == "published"
        wait_until(in_time(closes, seconds=-3))
        hammer.until(in_time(closes, seconds=1.5))
        print(f"was to close {planned_close:%T.%f};", hammer.check(closes))
    closed = poll(lambda: _if_closed(box.http.get(path).json()), seconds=3)
    assert timedelta(0) <= datetime.fromisoformat(closed["closed_at"]) - closes < timedelta(seconds=1)
    box.stack.must_be_sound()


def test_moving_a_concert_out_of_its_last_seconds_keeps_it_open(box: Box) -> None:
    organiser, buyer = box.organiser(), box.register()
    concert = box.on_sale(organiser, starts_at=starts_in(seconds=13))
    path, planned_close = f"/v1/concerts/{concert['id']}", datetime.fromisoformat(concert["sales_close_at"])
    moved = organiser.patch(path, {"starts_at": starts_in(seconds=18)})
    assert moved.status_code == 200, moved.text
    wait_until(in_time(planned_close, seconds=1.2))  # the first concert_starting has come and gone
    assert box.http.get(path).json()["status"] == "published"
    assert buyer.book(concert["id"]).status_code == 201
    closes = datetime.fromisoformat(moved.json()["sales_close_at"])
    closed = poll(lambda: _if_closed(box.http.get(path).json()), seconds=10)
    assert timedelta(0) <= datetime.fromisoformat(closed["closed_at"]) - closes < timedelta(seconds=1)
    assert problem(organiser.patch(path, {"starts_at": starts_in(days=1)})) == (409, "wrong_state")
    assert organiser.post(f"{path}/cancel").json()["status"] == "cancelled", "it can still be called off"


def test_restart_of_rabbitmq_loses_no_delay_and_the_concert_is_over_when_it_is(box: Box) -> None:
    concert = box.on_sale(box.organiser(), starts_at=starts_in(seconds=30))
    closes = datetime.fromisoformat(concert["sales_close_at"])
    poll(lambda: not _pending_events(box, concert["id"]))  # the broker has its `concert_starting`
    os.kill(processes(box)["rabbitmq"], signal.SIGKILL)
    poll(box.stack.is_ready, seconds=60)
    closed = poll(lambda: _if_closed(box.http.get(f"/v1/concerts/{concert['id']}").json()), seconds=60)
    late = datetime.fromisoformat(closed["closed_at"]) - closes
    back_in_time = timedelta(seconds=2) if datetime.now(UTC) < in_time(closes, seconds=8) else timedelta(seconds=60)
    assert timedelta(0) <= late < back_in_time
    over = poll(lambda: _if_finished(box.http.get(f"/v1/concerts/{concert['id']}").json()), seconds=60)
    ended = datetime.fromisoformat(concert["starts_at"]) + timedelta(seconds=float(LASTS))
    assert timedelta(0) <= datetime.fromisoformat(over["finished_at"]) - ended < timedelta(seconds=40)


@pytest.mark.long
def test_concert_closes_within_a_minute_when_the_broker_loses_every_message(box: Box) -> None:
    concert = box.on_sale(box.organiser(), starts_at=starts_in(seconds=16))
    closes = datetime.fromisoformat(concert["sales_close_at"])
    poll(lambda: not _pending_events(box, concert["id"]))
    with Connection(box.stack.amqp_uri) as connection:
        lost = sum(connection.default_channel.queue_purge(delays.level(n)) for n in range(delays.LEVELS))
    assert lost
    closed = poll(lambda: _if_closed(box.http.get(f"/v1/concerts/{concert['id']}").json()), seconds=75)
    assert timedelta(0) <= datetime.fromisoformat(closed["closed_at"]) - closes < timedelta(seconds=60)


@pytest.mark.parametrize("days", [60, 400])
def test_a_concert_far_away_stays_open(box: Box, days: int) -> None:
    """A delay past 49.7 days overflows 32 bits of milliseconds in many a scheduler."""
    concert = box.on_sale(box.organiser(), starts_at=starts_in(days=days))
    poll(lambda: not _pending_events(box, concert["id"]))  # the broker has its `concert_starting`
    assert box.register().book(concert["id"]).status_code == 201
    assert box.http.get(f"/v1/concerts/{concert['id']}").json()["status"] == "published"


@pytest.mark.parametrize("seconds", [-3600, 0, 9.9])
def test_a_concert_that_could_not_be_sold_any_more_is_refused(box: Box, seconds: float) -> None:
    answer = box.organiser().post("/v1/concerts", concert_body(starts_at=starts_in(seconds=seconds)))
    assert problem(answer) == (422, "starts_too_soon")


def _if_closed(concert: dict[str, Any]) -> dict[str, Any] | None:
    return concert if concert["closed_at"] else None


def _if_finished(concert: dict[str, Any]) -> dict[str, Any] | None:
    return concert if concert["status"] == "finished" else None


def _pending_events(box: Box, concert_id: str) -> list[Any]:
    with MongoClient(box.stack.mongo_uri) as mongo:
        return list(mongo["concert_svc"]["concerts"].find_one({"_id": concert_id})["outbox"])  # type: ignore[index]
