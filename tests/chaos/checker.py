"""
Holds the history against what the stores have, once all is quiet.

`Facts` are gathered first and judged then, without a server: so a test can doctor them, and see that each breach is
seen.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pymongo import MongoClient
from pymongo.collection import Collection

from rabbitmq.topology import OUTBOXES
from tests.chaos.history import PATIENCE, Asked, of_body
from tests.chaos.load import CLUB, FIELD, Load
from tests.e2e.api_client import Box
from tests.e2e.mail_folder import deliveries
from tests.e2e.test_kills import dead_letters
from tests.polling import poll

#: Seconds for all that is under way to have its effect once the load has ended.
SETTLING = 400
#: Seconds before its close when a booking may be told that sales have closed; for a close to be saved.
EARLY, SAVING = 1.0, 60
#: Mails that are under way at once, and so may be taken without a note by one fault.
CONNECTIONS = 16

Document = dict[str, Any]

INVARIANTS = {
    "lost": "Every acknowledged booking exists, and is cancelled only if its buyer asked for it",
    "phantom": "Every booking was asked for, and none exists whose request was refused for good",
    "twice": "A key has one booking, and every answer to it is the same",
    "oversold": "No unit is sold twice, and no more than there is",
    "mail": "A booking's confirmation has one Message-ID, and has arrived; there is none without a booking",
    "copies": "No mail arrived twice, but where who sends or takes it was struck",
    "untold": "No event waits, and none was given up",
    "answers": "Every answer is one that was promised: no 500, and a Retry-After with each 503",
    "session": "After a logout its token is good for nothing",
    "token": "A good token is let in, but where the gateway's clock is minutes off, or was when it was issued",
    "closing": "Nothing is sold at its close or later, nor refused as closed before, and closes are saved",
    "audit": "make audit finds nothing",
}


class Breach(NamedTuple):
    invariant: str
    what: str


@dataclass
class Facts:
    """What is known of a run."""

    asked: list[Asked]
    bookings: list[Document]
    confirmations: list[Document]  #: entries of the ledger
    mails: Counter[str]  #: files by Message-ID
    capacity: dict[str, int]  #: by concert
    unpublished: int
    parked: int
    may_copy: int  #: faults that may have parted a mail that was taken from the note of it
    audit: str  #: what it says, if anything is wrong
    wrong_clock: list[tuple[float, float]]  #: from when to when the gateway's was minutes off; monotonic
    closes: dict[str, float]  #: by concert, in seconds since 1970
    unsaved: int  #: concerts whose close was not saved in time
    epoch: float  #: when the monotonic clock began, in seconds since 1970


def gather(load: Load, may_copy: int, wrong_clock: list[tuple[float, float]]) -> Facts:
    """
    Wait until all is quiet, and read.

    Fails when it does not become quiet: a mail that is never sent is not waited for without end.
    """
    box, people = load.box, [person.id for person in load.everybody]
    with MongoClient[Document](box.stack.mongo_uri, tz_aware=True) as mongo:
        bookings, ledger = mongo["booking_svc"]["bookings"], mongo["mailer_svc"]["ledger"]
        waiting = {"user_id": {"$in": people}, "status": "confirmed", "confirmation_mail.state": "queued"}
        poll(lambda: bookings.count_documents(waiting) == 0, SETTLING, every=0.5)
        queued = {"user_id": {"$in": people}, "state": {"$in": ["queued", "sending"]}}
        poll(lambda: ledger.count_documents(queued) == 0, SETTLING, every=0.5)
        outboxes = [mongo[place.database][place.collection] for place in OUTBOXES]
        unpublished = {"outbox.event_id": {"$exists": True}}
        poll(lambda: not any(outbox.find_one(unpublished) for outbox in outboxes), SETTLING, every=0.5)
        tonight = mongo["concert_svc"]["concerts"].find({"_id": {"$in": [one["id"] for one in load.tonight]}})
        closes = {concert["_id"]: concert["sales_close_at"].timestamp() for concert in tonight}
        audit = box.stack.audit()
        return Facts(
            asked=load.history.all(),
            bookings=list(bookings.find({"user_id": {"$in": people}, "status": {"$in": ["confirmed", "cancelled"]}})),
            confirmations=list(ledger.find({"user_id": {"$in": people}, "kind": "confirmation"})),
            mails=mails_of(box, {person.user["email"] for person in load.everybody}),
            capacity={load.field: FIELD, load.club: CLUB},
            unpublished=sum(outbox.count_documents(unpublished) for outbox in outboxes),
            parked=dead_letters(box) - load.parked_before,
            may_copy=may_copy,
            audit="" if audit.returncode == 0 else audit.stdout + audit.stderr,
            wrong_clock=wrong_clock,
            closes=closes,
            unsaved=_unsaved(mongo["concert_svc"]["concerts"], closes),
            epoch=load.history.epoch,
        )


def _unsaved(concerts: Collection[Document], closes: dict[str, float]) -> int:
    """How many are on sale though they have closed, and stay so."""
    now = time.time()
    wanted = {"_id": {"$in": [one for one, at in closes.items() if at < now]}, "status": "published"}
    deadline = time.monotonic() + SAVING
    while (unsaved := concerts.count_documents(wanted)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return unsaved


def mails_of(box: Box, addresses: set[str]) -> Counter[str]:
    return Counter(message_id for recipient, message_id in deliveries(box) if recipient in addresses)


def breaches(facts: Facts) -> Iterator[Breach]:
    """Whatever of INVARIANTS does not hold."""
    yield from _of_bookings(facts)
    yield from _of_units(facts)
    yield from _of_mails(facts)
    yield from _of_answers(facts)
    yield from _of_closes(facts)
    if facts.unpublished or facts.parked:
        yield Breach("untold", f"{facts.unpublished} wait in outboxes, {facts.parked} are dead letters")
    if facts.audit:
        yield Breach("audit", facts.audit)


def _of_bookings(facts: Facts) -> Iterator[Breach]:
    stored = {(booking["user_id"], booking["idempotency_key"]): booking for booking in facts.bookings}
    if len(stored) < len(facts.bookings):
        yield Breach("twice", f"{len(facts.bookings) - len(stored)} keys have several bookings")
    by_key: dict[tuple[str, str], list[Asked]] = defaultdict(list)
    for asked in facts.asked:
        if asked.what == "book" and asked.key is not None:
            by_key[asked.person, asked.key].append(asked)
    cancels = {asked.subject for asked in facts.asked if asked.what == "cancel"}
    for key, tries in by_key.items():
        told = [asked for asked in tries if asked.outcome == "ok"]
        if len({asked.body for asked in told}) > 1:
            yield Breach("twice", f"{key}: {len(told)} answers differ")
        booking = stored.get(key)
        if told and (booking is None or booking["_id"] != of_body(told[0], "id")):
            yield Breach(
                "lost", f"{key}: acknowledged as {of_body(told[0], 'id')}, stored {booking and booking['_id']}"
            )
        if booking is not None and all(asked.outcome == "failed" for asked in tries):
            yield Breach("phantom", f"{key}: refused, and stored as {booking['_id']}")
    for key, booking in stored.items():
        if key not in by_key:
            yield Breach("phantom", f"{key}: nobody asked for {booking['_id']}")
        if booking["status"] == "cancelled" and booking["_id"] not in cancels:
            yield Breach("lost", f"{booking['_id']} is cancelled, and nobody asked for that")
    standing = {booking["_id"] for booking in facts.bookings if booking["status"] == "confirmed"}
    for asked in facts.asked:
        if asked.what == "cancel" and asked.outcome == "ok" and asked.subject in standing:
            yield Breach("lost", f"the cancellation of {asked.subject} was acknowledged, and it stands")


def _of_units(facts: Facts) -> Iterator[Breach]:
    confirmed = [booking for booking in facts.bookings if booking["status"] == "confirmed"]
    sold = Counter((b["concert_id"], claim) for b in confirmed for claim in b["claims"] if claim.startswith("unit:"))
    for (concert_id, unit), times in sold.items():
        if times > 1:
            yield Breach("oversold", f"{unit} of {concert_id} was sold {times} times")
    tickets = Counter(b["concert_id"] for b in confirmed for _ in b["tickets"])
    for concert_id, capacity in facts.capacity.items():
        if tickets[concert_id] > capacity:
            yield Breach("oversold", f"{concert_id}: {tickets[concert_id]} tickets of {capacity}")


def _of_mails(facts: Facts) -> Iterator[Breach]:
    bookings = {booking["_id"]: booking["status"] for booking in facts.bookings}
    by_booking: dict[str, set[str]] = defaultdict(set)
    for entry in facts.confirmations:
        by_booking[entry["booking_id"]].add(entry["message_id"])
    for booking_id, message_ids in by_booking.items():
        if booking_id not in bookings:
            yield Breach("mail", f"a confirmation of {booking_id}, which does not exist")
        if len(message_ids) > 1:
            yield Breach("mail", f"{booking_id} has {len(message_ids)} confirmations")
    for booking_id, status in bookings.items():
        if status == "confirmed" and not any(facts.mails[one] for one in by_booking[booking_id]):
            yield Breach("mail", f"the confirmation of {booking_id} has not arrived")
    copies = sum(times - 1 for times in facts.mails.values())
    if copies and copies > facts.may_copy * CONNECTIONS:
        yield Breach("copies", f"{copies} copies, {facts.may_copy} faults that explain some")


def _of_answers(facts: Facts) -> Iterator[Breach]:
    for asked in facts.asked:
        if asked.status is not None and asked.status >= 500 and not (asked.status == 503 and asked.retry_after):
            yield Breach("answers", f"{asked.what}: {asked.status} {asked.body[:200]!r}")
        if asked.what == "after logout" and asked.outcome == "ok":
            yield Breach("session", f"{asked.person} was let in after a logout")
        if asked.status == 401 and asked.token is not None and not _is_explained(asked, facts.wrong_clock):
            yield Breach("token", f"{asked.what} of {asked.person} was refused: {asked.body[:200]!r}")


def _is_explained(refused: Asked, wrong_clock: list[tuple[float, float]]) -> bool:
    """It was judged while the clock was off, or issued then: too early for the right clock, or too old."""
    assert refused.token is not None
    if b'"session_ended"' in refused.body:  # no clock says so
        return False
    return any(
        (refused.sent <= until and refused.until >= began) or began - PATIENCE <= refused.token <= until
        for began, until in wrong_clock
    )


def _of_closes(facts: Facts) -> Iterator[Breach]:
    for booking in facts.bookings:
        closes = facts.closes.get(booking["concert_id"])
        if closes is not None and booking["confirmed_at"].timestamp() >= closes:
            yield Breach("closing", f"{booking['_id']} was confirmed at {booking['confirmed_at']}, after the close")
    for asked in facts.asked:
        closes = facts.closes.get(asked.subject or "")
        if closes is not None and b'"sales_closed"' in asked.body and facts.epoch + asked.until < closes - EARLY:
            yield Breach("closing", f"{asked.key} was refused {closes - facts.epoch - asked.until:.1f} s before")
    if facts.unsaved:
        yield Breach("closing", f"{facts.unsaved} concerts are still on sale, though they have closed")
