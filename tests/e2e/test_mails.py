"""What buyers get: tickets, calendar, and a mail for all that happens to a booking."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import icalendar
import jwt
import pypdfium2
import pytest
import zxingcpp

from tests.e2e.api_client import Box, Person, problem, starts_in
from tests.e2e.mail_folder import mails_with
from tests.polling import poll


def mails_to(box: Box, person: Person, kind: str) -> list[EmailMessage]:
    """The mails that have arrived at the person's address, of those that are called so."""
    found = mails_with(box, f"X-RcptTo: {person.user['email']}\n", f".{kind}")
    return [mail for mail in found if f".{kind}" in mail["Message-ID"]]


def the_mail(box: Box, person: Person, kind: str) -> EmailMessage:
    [mail] = poll(lambda: mails_to(box, person, kind), seconds=20)
    return mail


def attached(mail: EmailMessage, kind: str) -> Any:
    [content] = [part.get_content() for part in mail.walk() if part.get_content_type() == kind]
    return content


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def entry_of(calendar: Any) -> Any:
    [event] = icalendar.Calendar.from_ical(calendar).walk("VEVENT")
    return event


@pytest.fixture(scope="module")
def organiser(box: Box) -> Person:
    return box.organiser()


@pytest.fixture
def concert(box: Box, organiser: Person) -> dict[str, Any]:
    return box.on_sale(organiser)


def claims_in(box: Box, pdf: bytes) -> list[dict[str, Any]]:
    """What a scanner at the door learns of each page, with the published keys alone."""
    keys = jwt.PyJWKSet.from_dict(box.http.get("/v1/ticket-keys").json())
    claims = []
    for page in pypdfium2.PdfDocument(pdf):
        [code] = zxingcpp.read_barcodes(page.render(scale=2).to_pil())
        claims.append(jwt.decode(code.text, keys[jwt.get_unverified_header(code.text)["kid"]], algorithms=["EdDSA"]))
    return claims


def test_tickets_are_verified_with_the_published_keys_and_are_those_of_the_mail(
    box: Box, concert: dict[str, Any]
) -> None:
    buyer = box.register("Ada Lovelace")
    booking = buyer.book(concert["id"], 2).json()
    answer = buyer.get(f"/v1/bookings/{booking['id']}/tickets.pdf")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/pdf")
    assert booking["reference"] in answer.headers["Content-Disposition"]
    claims = claims_in(box, answer.content)
    assert [(one["code"], one["concert"], one["booking"], one["number"]) for one in claims] == [
        (ticket["code"], concert["id"], booking["reference"], ticket["number"]) for ticket in booking["tickets"]
    ]
    assert attached(the_mail(box, buyer, "confirmation"), "application/pdf") == answer.content


def test_calendar_entry_is_at_the_concerts_start_and_a_cancel_removes_the_same(
    box: Box, concert: dict[str, Any]
) -> None:
    buyer = box.register()
    path = f"/v1/bookings/{buyer.book(concert['id']).json()['id']}"
    answer = buyer.get(f"{path}/calendar.ics")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    first = entry_of(answer.content)
    starts_at = datetime.fromisoformat(concert["starts_at"]).replace(microsecond=0)
    assert first["DTSTART"].dt.astimezone(UTC) == starts_at
    assert first["DTSTART"].params["TZID"] == "Europe/Berlin"
    mailed = entry_of(attached(the_mail(box, buyer, "confirmation"), "text/calendar"))
    buyer.post(f"{path}/cancel")
    last = entry_of(attached(the_mail(box, buyer, "cancellation"), "text/calendar"))
    assert first["UID"] == mailed["UID"] == last["UID"]
    assert mailed["SEQUENCE"] <= first["SEQUENCE"] <= last["SEQUENCE"] and last["STATUS"] == "CANCELLED"
    assert b"METHOD:CANCEL" in buyer.get(f"{path}/calendar.ics").content
    assert problem(buyer.get(f"{path}/tickets.pdf")) == (409, "already_cancelled")
    assert problem(buyer.post(f"{path}/resend-confirmation")) == (409, "already_cancelled")


def test_what_is_somebody_elses_is_not_there(box: Box, concert: dict[str, Any]) -> None:
    path = f"/v1/bookings/{box.register().book(concert['id']).json()['id']}"
    other = box.register()
    for answer in (
        other.get(f"{path}/tickets.pdf"),
        other.get(f"{path}/calendar.ics"),
        other.post(f"{path}/resend-confirmation"),
    ):
        assert problem(answer) == (404, "not_found")


def test_keys_are_public_and_may_be_kept_for_a_while(box: Box) -> None:
    answer = box.http.get("/v1/ticket-keys")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert [set(key) for key in answer.json()["keys"]] == [{"kid", "kty", "crv", "alg", "use", "x"}]


def test_confirmation_is_sent_again_as_a_mail_of_its_own(box: Box, concert: dict[str, Any]) -> None:
    buyer = box.register()
    booking = buyer.book(concert["id"]).json()
    first = the_mail(box, buyer, "confirmation")
    path = f"/v1/bookings/{booking['id']}"
    poll(lambda: buyer.get(path).json()["confirmation_mail"]["state"] == "sent", seconds=20)
    answer = buyer.post(f"{path}/resend-confirmation")
    assert (answer.status_code, answer.json()["confirmation_mail"]["state"]) == (202, "queued")
    again = the_mail(box, buyer, "resend-1")
    assert again["Message-ID"] != first["Message-ID"] and again["Subject"] == first["Subject"]
    assert text_of(again) == text_of(first)
    poll(lambda: buyer.get(path).json()["confirmation_mail"]["state"] == "sent", seconds=20)


def test_buyers_hear_of_a_new_time_with_the_old_one(box: Box, organiser: Person, concert: dict[str, Any]) -> None:
    buyer = box.register()
    buyer.book(concert["id"])
    the_mail(box, buyer, "confirmation")
    moved = organiser.patch(f"/v1/concerts/{concert['id']}", {"starts_at": starts_in(days=60)})
    assert moved.status_code == 200, moved.text
    mail = the_mail(box, buyer, "reschedule")
    assert text_of(mail).index("Was:") < text_of(mail).index("Now:")
    entry = entry_of(attached(mail, "text/calendar"))
    expected = datetime.fromisoformat(moved.json()["starts_at"]).replace(microsecond=0)
    assert entry["DTSTART"].dt.astimezone(UTC) == expected
    assert entry["SEQUENCE"] >= 0 and entry["STATUS"] == "CONFIRMED"
    assert attached(mail, "application/pdf").startswith(b"%PDF")


def test_buyers_hear_that_a_concert_is_cancelled(box: Box, organiser: Person, concert: dict[str, Any]) -> None:
    buyer = box.register()
    buyer.book(concert["id"])
    answer = organiser.post(f"/v1/concerts/{concert['id']}/cancel")
    assert answer.status_code == 200, answer.text
    mail = the_mail(box, buyer, "cancellation")
    assert mail["Subject"].startswith("The concert is cancelled")
    assert "does not take place" in text_of(mail)
    assert mails_to(box, buyer, "confirmation"), "what happened first is told first"


def test_buyers_are_reminded_the_day_before(box: Box, organiser: Person) -> None:
    concert = box.on_sale(organiser, starts_at=starts_in(hours=24, seconds=12))
    buyer = box.register()
    buyer.book(concert["id"])
    mail = the_mail(box, buyer, "reminder")
    assert mail["Subject"].startswith("Tomorrow: ")
    assert attached(mail, "application/pdf").startswith(b"%PDF")
    starts_at = datetime.fromisoformat(concert["starts_at"])
    assert mail["Date"].datetime >= starts_at - timedelta(hours=24, seconds=2)


def test_mail_with_a_new_password_carries_a_code_that_is_good_once(box: Box) -> None:
    person = box.register()
    assert box.http.post("/v1/auth/password-reset", json={"email": person.user["email"]}).status_code == 202
    mail = the_mail(box, person, "password-reset")
    [token] = [line for line in text_of(mail).splitlines() if len(line) >= 32 and " " not in line]
    body = {"token": token, "new_password": "another horse battery staple"}
    assert box.http.post("/v1/auth/password-reset/confirm", json=body).status_code == 204
    assert box.login(person.user["email"], body["new_password"]).id == person.id


def test_address_is_verified_with_the_code_that_came_by_mail(box: Box) -> None:
    person = box.register()
    mail = the_mail(box, person, "address-verification")
    [token] = [line for line in text_of(mail).splitlines() if len(line) >= 32 and " " not in line]
    assert box.http.post("/v1/auth/verify-email", json={"token": token}).status_code == 204
