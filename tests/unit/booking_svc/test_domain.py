import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_svc import domain
from booking_svc.contract import HoldNotFound, ResentTooOften
from booking_svc.domain import HoldKey
from booking_svc.offer import Offer, Taken, Unit
from rabbitmq.times import from_wire, to_wire
from tests.unit.booking_svc.concerts import PRICES, draft, held, items, new_id, terms

NOW = datetime(2026, 12, 1, 19, 0, tzinfo=UTC)


def test_the_same_key_of_the_same_user_means_the_same_booking() -> None:
    assert domain.booking_id("ada", "k1") == domain.booking_id("ada", "k1")
    assert UUID(domain.booking_id("ada", "k1"))


def test_booking_ids_survive_a_new_release() -> None:
    assert domain.booking_id("ada", "k1") == "4cb749ff-2945-5b41-a783-3f387edca375"


def test_other_keys_and_other_users_mean_other_bookings() -> None:
    pairs = [("ada", "k1"), ("ada", "k2"), ("bob", "k1"), ("bob", "k2")]
    assert len({domain.booking_id(*pair) for pair in pairs}) == 4


def test_fingerprint_knows_the_same_request_again() -> None:
    other_order: list[Any] = [{"quantity": 2, "ticket_type": "standing"}]
    assert domain.fingerprint("c", items(standing=2)) == domain.fingerprint("c", other_order)


def test_fingerprint_tells_other_requests_apart() -> None:
    requests = [
        ("c", items(standing=2)),
        ("c", items(standing=3)),
        ("c", items(balcony=2)),
        ("c", items(standing=2, balcony=1)),
        ("d", items(standing=2)),
    ]
    assert len({domain.fingerprint(*request) for request in requests}) == len(requests)


@given(st.uuids())
def test_reference_can_be_read_over_the_telephone(booking_id: UUID) -> None:
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{3}(-[0-9A-HJKMNP-TV-Z]{3}){2}", domain.reference(str(booking_id)))


def test_reference_alphabet_is_crockfords() -> None:
    assert len(set(domain.REFERENCE_ALPHABET)) == len(domain.REFERENCE_ALPHABET) == 32
    assert not set(domain.REFERENCE_ALPHABET) & set("ILOU")


def test_reference_belongs_to_the_booking() -> None:
    first, second = str(uuid4()), str(uuid4())
    assert domain.reference(first) == domain.reference(first) != domain.reference(second)


KEY = HoldKey("a-concert", domain.hold_nonce("ada", "k1"), 1_795_527_652_193)


def test_nonce_of_a_hold_is_that_of_this_user_and_key() -> None:
    assert len({domain.hold_nonce(user, key) for user in ("ada", "bob") for key in ("k1", "k2")}) == 4
    assert domain.hold_nonce("ada", "k1") == domain.hold_nonce("ada", "k1")


@given(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), st.integers(0, 2**43))
def test_id_of_a_hold_names_it_to_its_buyer_alone(concert_id: str, born: int) -> None:
    key = KEY._replace(concert_id=concert_id, born=born)
    assert domain.read_hold_id("ada", domain.hold_id("ada", key)) == key
    with pytest.raises(HoldNotFound):
        domain.read_hold_id("bob", domain.hold_id("ada", key))


def test_holds_made_one_after_the_other_have_ids_of_their_own() -> None:
    assert domain.hold_id("ada", KEY) != domain.hold_id("ada", KEY._replace(born=KEY.born + 1))


@given(st.text(st.characters()))
def test_what_is_no_hold_is_not_found(text: str) -> None:
    hold_id = domain.hold_id("ada", KEY)
    for other in (text, f"c-{text}", hold_id + text, text + hold_id, hold_id.upper()):
        if other != hold_id:
            with pytest.raises(HoldNotFound):
                domain.read_hold_id("ada", other)


def test_draft_has_a_ticket_for_each_unit_claimed() -> None:
    booking = draft(terms("c"), "standing:17", "balcony:3", "standing:18")
    assert [(t["number"], t["ticket_type"], t["seat"]) for t in booking["tickets"]] == [
        (1, "standing", None),
        (2, "balcony", None),
        (3, "standing", None),
    ]


def test_draft_calls_its_tickets_what_the_organiser_does() -> None:
    offered = terms("c")
    offered["ticket_types"][0]["name"] = "1. Rang"
    booking = draft(offered, "standing:17", "balcony:3")
    assert [t["name"] for t in booking["tickets"]] == ["1. Rang", "Balcony"]


def test_draft_is_priced_by_the_terms() -> None:
    booking = draft(terms("c"), "standing:17", "balcony:3", "standing:18")
    assert [t["price"]["amount"] for t in booking["tickets"]] == [4500, 8000, 4500]
    assert booking["total"] == {"amount": 2 * PRICES["standing"] + PRICES["balcony"], "currency": "EUR"}


def test_draft_says_by_which_terms_it_was_sold() -> None:
    on_sale = terms("c", version=7)
    booking = draft(on_sale, "standing:1")
    assert (booking["concert_id"], booking["schedule_version"]) == ("c", 7)
    assert booking["sales_close_at"] == from_wire(on_sale["sales_close_at"])
    assert booking["concert"] == on_sale["concert"]


def test_ticket_codes_cannot_be_guessed() -> None:
    codes = [t["code"] for _ in range(50) for t in draft(terms("c"), "standing:1", "standing:2")["tickets"]]
    assert len(set(codes)) == 100
    assert all(len(code) >= 22 for code in codes)  # 128 bits in base 64


def test_draft_carries_its_event() -> None:
    offer, taken = Offer(terms("c")), Taken("ada", [1], [Unit("standing", 1)])
    bought = domain.Purchase("ada", "k1", "f", "r1")
    booking = domain.draft(bought, held(offer, taken, items(standing=1)), offer, NOW)
    [event] = booking["outbox"]
    told = {key: event[key] for key in ("source", "type", "seq", "occurred_at", "request_id")}
    assert told == {
        "source": "booking_svc",
        "type": "booking_confirmed",
        "seq": 1,
        "occurred_at": NOW,
        "request_id": "r1",
    }
    assert event["data"]["user_id"] == "ada"
    assert event["data"]["booking"] == domain.as_booking({**booking, "status": "confirmed", "confirmed_at": NOW})


def test_each_event_has_an_id_of_its_own() -> None:
    on_sale = terms("c")
    ids = {draft(on_sale, "standing:1")["outbox"][0]["event_id"] for _ in range(20)}
    assert len(ids) == 20


def test_what_goes_over_the_wire_is_json() -> None:
    booking = {**draft(terms("c"), "standing:1"), "status": "confirmed", "confirmed_at": NOW}
    seen = domain.as_booking(booking)
    assert json.loads(json.dumps(seen)) == seen
    data = booking["outbox"][0]["data"]
    assert json.loads(json.dumps(data)) == data


def test_what_the_buyer_sees_hides_how_it_is_stored() -> None:
    booking = {**draft(terms("c"), "standing:1"), "status": "confirmed", "confirmed_at": NOW}
    hidden = {"_id", "user_id", "idempotency_key", "fingerprint", "claims", "outbox", "history", "sales_close_at"}
    assert not hidden & set(domain.as_booking(booking))


def test_cancelled_event_says_which_claims_are_free() -> None:
    booking = {**draft(terms("c"), "standing:1", user_id="ada"), "status": "confirmed", "confirmed_at": NOW}
    event = domain.cancelled_event(booking, NOW, "r1")
    as_seen = domain.as_booking({**booking, "status": "cancelled", "cancelled_at": NOW})
    assert (event["type"], event["seq"], event["occurred_at"]) == ("booking_cancelled", 2, NOW)
    assert event["data"] == {
        "booking_id": booking["_id"],
        "concert_id": "c",
        "user_id": "ada",
        "claims": ["buyer:ada:1", "unit:standing:1"],
        "hold_id": None,
        "booking": as_seen,
        "reason": "buyer",
    }


@given(
    status=st.sampled_from(["confirmed", "cancelled"]),
    cancelled=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=365)),
    mail=st.sampled_from(["queued", "sent", "failed"]),
    sent=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=365)),
)
def test_as_confirmed_ignores_what_happened_later(
    status: str, cancelled: timedelta | None, mail: str, sent: timedelta | None
) -> None:
    then = {**draft(terms("c"), "standing:1", "balcony:2"), "status": "confirmed", "confirmed_at": NOW}
    since = {
        "status": status,
        "cancelled_at": cancelled and NOW + cancelled,
        "confirmation_mail": {"state": mail, "sent_at": sent and NOW + sent, "reason": None, "kind": "resend-1"},
        "outbox": [],
    }
    assert domain.as_confirmed({**then, **since}) == domain.as_booking(then)


def test_as_booking_shows_what_happened_later() -> None:
    then = {**draft(terms("c"), "standing:1"), "status": "confirmed", "confirmed_at": NOW}
    since = {
        "status": "cancelled",
        "cancelled_at": NOW + timedelta(minutes=2),
        "confirmation_mail": {"state": "sent", "sent_at": NOW + timedelta(minutes=1), "reason": None},
    }
    seen = domain.as_booking({**then, **since})
    assert (seen["status"], seen["confirmed_at"], seen["cancelled_at"]) == (
        "cancelled",
        "2026-12-01T19:00:00Z",
        "2026-12-01T19:02:00Z",
    )
    assert seen["confirmation_mail"] == {"state": "sent", "sent_at": "2026-12-01T19:01:00Z", "reason": None}


CLOSES = NOW + timedelta(days=2)


def sent_before(*requested: timedelta) -> domain.BookingDocument:
    """A booking whose confirmation was sent, and asked for again so long ago each time."""
    booking = {**draft(terms("c"), "standing:1", user_id="ada"), "status": "confirmed", "confirmed_at": NOW}
    times = [NOW - ago for ago in requested]
    return {**booking, "confirmation_mail": {**domain.CONFIRMATION_QUEUED, "state": "sent", "requested": times}}


def test_confirmation_that_is_sent_again_is_a_mail_of_its_own() -> None:
    booking = sent_before(timedelta(hours=2))
    mail, event = domain.resend_confirmation(booking, CLOSES, NOW, "r1")
    assert (mail["kind"], mail["state"], mail["requested"]) == ("resend-2", "queued", [NOW - timedelta(hours=2), NOW])
    assert (event["type"], event["request_id"]) == ("confirmation_requested", "r1")
    assert (event["data"]["user_id"], event["data"]["number"]) == ("ada", 2)
    assert event["data"]["booking"]["confirmation_mail"]["state"] == "queued"
    assert event["data"]["sales_close_at"] == to_wire(CLOSES)
    again = domain.awaited_event({**booking, "confirmation_mail": mail})
    assert {**again, "request_id": "r1"} == event, "told again, it is the same event"


def test_confirmation_that_is_awaited_is_told_again_as_the_same_event() -> None:
    history = [{"request_id": "r1"}]
    booking = {**draft(terms("c"), "standing:1"), "status": "confirmed", "confirmed_at": NOW, "history": history}
    assert domain.awaited_event(booking) == domain.confirmed_event(booking, "r1")


@pytest.mark.parametrize(
    "requested", [(timedelta(seconds=59),), tuple(timedelta(hours=hours) for hours in (23, 5, 4, 3, 2))]
)
def test_confirmation_is_sent_again_at_most_once_a_minute_and_five_times_a_day(
    requested: tuple[timedelta, ...],
) -> None:
    with pytest.raises(ResentTooOften):
        domain.resend_confirmation(sent_before(*requested), CLOSES, NOW, None)
    a_day_later = NOW + timedelta(hours=2)
    assert domain.resend_confirmation(sent_before(*requested), CLOSES, a_day_later, None)[0]["state"] == "queued"


def test_the_whole_booking_is_free_of_charge_when_its_tickets_are() -> None:
    free = terms(new_id())
    for ticket_type in free["ticket_types"]:
        ticket_type["price"] = {"amount": 0, "currency": "SEK"}
    assert draft(free, "standing:1", "standing:2")["total"] == {"amount": 0, "currency": "SEK"}
