"""A mail server that fails in every way, and a mailer that is killed: no mail is missing, each has one Message-ID."""

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from itertools import cycle

import psutil
import pytest

from tests import local_stack
from tests.e2e.api_client import Box, Person, insist, problem
from tests.mail_sink import MailSink, Mood
from tests.polling import poll

#: Ways to fail after which a mail must arrive all the same.
PASSING: list[Mood] = ["slow", "refuse", "drop", "take and drop"]
#: A killed process' mails are free again after 20 s.
PATIENCE = 90


@pytest.fixture(scope="module")
def sink() -> Iterator[MailSink]:
    sink = MailSink(local_stack.free_port()).up()
    yield sink
    sink.mood = "take"  # who is slow goes on
    sink.down()


@pytest.fixture(scope="module")
def box(sink: MailSink, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A platform of its own, whose mails go to the sink, and are tried again soon."""
    data_dir = tmp_path_factory.mktemp("mail") / "data"
    stack = local_stack.start(data_dir, SMTP_URL=sink.url, MAIL_RETRY_SECONDS="0.2")
    yield Box(stack)
    try:
        stack.must_be_sound()
    finally:
        stack.stop()
    if not request.session.testsfailed:
        shutil.rmtree(data_dir)


@pytest.fixture(scope="module")
def concert(box: Box) -> str:
    return str(box.on_sale(box.organiser(), capacity=10_000, max_tickets_per_user=100)["id"])


def book(buyer: Person, concert: str) -> str:
    """A booking's id; the mail server's trouble is not the buyer's."""
    answer = insist(buyer, concert)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def mail_of(buyer: Person, booking: str) -> dict[str, str | None]:
    return dict(buyer.get(f"/v1/bookings/{booking}").json()["confirmation_mail"])


def are_sent(buyer: Person, bookings: list[str]) -> bool:
    return all(mail_of(buyer, booking)["state"] == "sent" for booking in bookings)


def mailer_pid(box: Box) -> int | None:
    """The mailer's process, when there is one."""
    for process in psutil.process_iter(["cmdline"]):
        try:
            ours = process.environ().get("DATA_DIR") == str(box.stack.data_dir)
            if ours and "mailer_svc.service" in (process.info["cmdline"] or []):
                return int(process.pid)
        except psutil.Error:
            continue
    return None


def must_have_one_message_id_each(sink: MailSink, bookings: list[str], copies: int) -> None:
    """No booking's mail is missing; none has a second Message-ID; and there are at most so many *copies*."""
    taken = {booking: sink.ids(f"{booking}.confirmation") for booking in bookings}
    assert [booking for booking, ids in taken.items() if not ids] == [], "missing"
    assert [ids for ids in taken.values() if len(ids) != 1] == []
    assert sum(ids.total() - 1 for ids in taken.values()) <= copies


def test_a_mail_server_that_is_down_delays_mails_and_stops_nobody(box: Box, sink: MailSink, concert: str) -> None:
    buyer = box.register()
    sink.down()
    try:
        bookings = [book(buyer, concert) for _ in range(3)]
        assert box.http.get("/health/ready").status_code == 200
        assert {mail_of(buyer, booking)["state"] for booking in bookings} == {"queued"}
    finally:
        sink.up()
    poll(lambda: are_sent(buyer, bookings), seconds=PATIENCE)
    must_have_one_message_id_each(sink, bookings, copies=0)


@pytest.mark.parametrize("mood", PASSING)
def test_a_mail_server_that_fails_for_a_while_takes_each_mail_in_the_end(
    box: Box, sink: MailSink, concert: str, mood: Mood
) -> None:
    buyer = box.register()
    asked = sink.asked[buyer.user["email"]]
    sink.mood = mood
    try:
        bookings = [book(buyer, concert) for _ in range(3)]
        poll(lambda: sink.asked[buyer.user["email"]] - asked >= 3, seconds=PATIENCE)
        assert {mail_of(buyer, booking)["state"] for booking in bookings} == {"queued"}
    finally:
        sink.mood = "take"
    poll(lambda: are_sent(buyer, bookings), seconds=PATIENCE)
    # Only a server that takes mails and does not say so gets copies: the same mails again, by their Message-IDs.
    must_have_one_message_id_each(sink, bookings, copies=100 if mood == "take and drop" else 0)


def test_a_mail_that_is_refused_for_good_says_why_and_can_be_sent_again(box: Box, sink: MailSink, concert: str) -> None:
    buyer = box.register()
    sink.mood = lambda recipient: "reject" if recipient == buyer.user["email"] else "take"
    try:
        booking = book(buyer, concert)
        failed = poll(lambda: _in_state(buyer, booking, "failed"), seconds=PATIENCE)
        assert failed["reason"] == "550 5.1.1 <...>: no such mailbox"
    finally:
        sink.mood = "take"
    asked_again = buyer.post(f"/v1/bookings/{booking}/resend-confirmation")
    assert (asked_again.status_code, asked_again.json()["confirmation_mail"]["state"]) == (202, "queued")
    sent = poll(lambda: _in_state(buyer, booking, "sent"), seconds=PATIENCE)
    assert sent["reason"] is None and sent["sent_at"] is not None
    assert [list(sink.ids(f"{booking}.{kind}").values()) for kind in ("confirmation", "resend-1")] == [[], [1]]
    again = buyer.post(f"/v1/bookings/{booking}/resend-confirmation")
    assert problem(again) == (429, "rate_limited") and again.headers["Retry-After"] == "60"


def _in_state(buyer: Person, booking: str, state: str) -> dict[str, str | None] | None:
    mail = mail_of(buyer, booking)
    return mail if mail["state"] == state else None


def test_a_slow_recipient_delays_only_itself(box: Box, sink: MailSink, concert: str) -> None:
    """Twice as many mails as there are connections hang; others' mails go past them."""
    slow, quick = box.register(), box.register()
    sink.mood = lambda recipient: "slow" if recipient == slow.user["email"] else "take"
    try:
        hanging = [book(slow, concert) for _ in range(32)]
        poll(lambda: sink.asked[slow.user["email"]] >= 16, seconds=PATIENCE)
        bookings = [book(quick, concert) for _ in range(5)]
        poll(lambda: are_sent(quick, bookings), seconds=30)
        assert not any(sink.ids(f"{booking}.") for booking in hanging)
        assert box.http.get("/health/ready").status_code == 200
        assert slow.get(f"/v1/bookings/{hanging[0]}/tickets.pdf").status_code == 200
    finally:
        sink.mood = "take"
    poll(lambda: are_sent(slow, hanging), seconds=PATIENCE)
    must_have_one_message_id_each(sink, hanging, copies=0)


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1500)])])
def test_a_mailer_that_is_killed_again_and_again_loses_no_mail(
    box: Box, sink: MailSink, concert: str, kills: int
) -> None:
    """While the mail server fails in one way after the other, and is down in between."""
    buyers = cycle([box.register() for _ in range(40)])
    bookings: list[tuple[Person, str]] = []
    moods = cycle(["take", *PASSING, "down"])
    killed = 0
    try:
        while killed < kills:
            mood = next(moods)
            if mood == "down":
                sink.down()
            else:
                sink.mood = mood  # type: ignore[assignment]
                sink.up()
            for buyer in (next(buyers) for _ in range(4)):
                bookings.append((buyer, book(buyer, concert)))
            pid = poll(lambda: mailer_pid(box), seconds=30, every=0.1)
            asked, moment = sink.asked.total(), random.uniform(1.0, 3.0)
            deadline = time.monotonic() + moment
            # In the middle of its work, or when there is nothing to see of it for a while.
            while sink.asked.total() == asked and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
            killed += 1
    finally:
        sink.mood = "take"
        sink.up()
    waiting = list(bookings)

    def all_are_sent() -> bool:
        waiting[:] = [(buyer, booking) for buyer, booking in waiting if not are_sent(buyer, [booking])]
        return not waiting

    # Each try that failed has doubled the pause of its mail, and so has each death.
    poll(all_are_sent, seconds=PATIENCE + 5 * kills, every=1.0)
    # A copy can repeat where the server has taken a mail and nobody has heard it: it hung up, or we died.
    must_have_one_message_id_each(sink, [booking for _, booking in bookings], copies=len(bookings))
    copies = sum(sink.ids(f"{booking}.confirmation").total() - 1 for _, booking in bookings)
    print(f"\n{killed} kills, {len(bookings)} bookings, missing 0, Message-IDs per booking 1, copies {copies}")
