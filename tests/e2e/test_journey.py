"""A buyer's, an organiser's and an admin's way through the API, on real servers."""

import uuid
from typing import Any

from tests.e2e.api_client import PASSWORD, Box, concert_body, problem, starts_in
from tests.e2e.mail_folder import mails_with
from tests.polling import poll


def test_ready_names_every_part(box: Box) -> None:
    answer = box.http.get("/health/ready")
    assert answer.status_code == 200
    servers, services = {"rabbitmq", "mongodb", "inventory", "sessions"}, {"auth_svc", "concert_svc", "booking_svc"}
    assert set(answer.json()["checks"]) == servers | services | {"mailer_svc"}


def test_docs_page_and_openapi_are_served_by_ourselves(box: Box) -> None:
    page = box.http.get("/docs/")
    assert page.status_code == 200
    assert "//cdn" not in page.text and "unpkg" not in page.text
    paths = box.http.get("/openapi.json").json()["paths"]
    assert "/v1/bookings" in paths


def test_one_registers_logs_in_and_changes_the_name(box: Box) -> None:
    person = box.register("Ada")
    assert person.user["roles"] == ["customer"]
    again = box.login(person.user["email"].upper())
    assert again.get("/v1/me").json() == person.user
    changed = box.http.patch("/v1/me", json={"name": "Ada King"}, headers=again.authorization)
    assert changed.json()["name"] == "Ada King"


def test_an_address_is_registered_once_whatever_its_case(box: Box) -> None:
    person = box.register()
    body = {"email": person.user["email"].upper(), "password": PASSWORD, "name": "Eve"}
    assert problem(box.http.post("/v1/auth/register", json=body)) == (409, "email_taken")


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(box: Box) -> None:
    person = box.register()
    wrong = box.http.post("/v1/auth/login", json={"email": person.user["email"], "password": "not my password"})
    unknown = box.http.post("/v1/auth/login", json={"email": "nobody@example.org", "password": "not my password"})
    assert problem(wrong) == problem(unknown) == (401, "bad_credentials")
    assert {**wrong.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


def test_logout_ends_the_session_at_once(box: Box) -> None:
    person = box.register()
    other_device = box.login(person.user["email"])
    assert person.post("/v1/auth/logout").status_code == 204
    assert problem(person.get("/v1/me")) == (401, "session_ended")
    refreshed = box.http.post("/v1/auth/refresh", headers={"Authorization": f"Bearer {person.refresh_token}"})
    assert problem(refreshed) == (401, "session_ended")
    assert other_device.get("/v1/me").status_code == 200


def test_a_refresh_token_is_good_once(box: Box) -> None:
    person = box.register()
    bearer = {"Authorization": f"Bearer {person.refresh_token}"}
    first = box.http.post("/v1/auth/refresh", headers=bearer)
    assert first.status_code == 200
    renewed = {"Authorization": f"Bearer {first.json()['access_token']}"}
    assert box.http.get("/v1/me", headers=renewed).status_code == 200
    thief = {**bearer, "User-Agent": "somebody else"}
    assert problem(box.http.post("/v1/auth/refresh", headers=thief)) == (401, "session_ended")
    assert problem(box.http.get("/v1/me", headers=renewed)) == (401, "session_ended")


def test_a_lost_answer_to_a_refresh_is_given_again_to_the_same_client(box: Box) -> None:
    person = box.register()
    bearer = {"Authorization": f"Bearer {person.refresh_token}"}
    first, again = (box.http.post("/v1/auth/refresh", headers=bearer) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["refresh_token"] == first.json()["refresh_token"] != person.refresh_token


def test_only_the_admin_gives_roles_and_new_roles_need_a_new_login(box: Box) -> None:
    person = box.register()
    path, roles = f"/v1/users/{person.id}/roles", {"roles": ["customer", "organiser"]}
    assert problem(box.http.put(path, json=roles)) == (401, "not_authenticated")
    assert problem(box.http.put(path, json=roles, headers=person.authorization)) == (403, "forbidden")
    given = box.http.put(path, json=roles, headers=box.admin().authorization)
    assert given.json()["roles"] == ["customer", "organiser"]
    assert problem(person.get("/v1/me")) == (401, "session_ended")


def test_a_customer_puts_no_concert_on_sale(box: Box) -> None:
    assert problem(box.register().post("/v1/concerts", concert_body())) == (403, "forbidden")


def test_a_draft_is_seen_by_its_organiser_alone(box: Box) -> None:
    organiser, other = box.organiser(), box.organiser()
    draft = box.concert(organiser)
    path = f"/v1/concerts/{draft['id']}"
    assert organiser.get(path).json()["status"] == "draft"
    assert problem(other.get(path)) == (404, "not_found")
    assert problem(box.http.get(path)) == (404, "not_found")
    assert problem(other.post(f"{path}/publish")) == (404, "not_found")
    assert problem(box.http.get(f"{path}/availability")) == (404, "not_found")


def test_a_published_concert_is_listed_and_read_by_anyone(box: Box) -> None:
    concert = box.on_sale(box.organiser(), title="A concert nobody else has")
    assert box.http.get(f"/v1/concerts/{concert['id']}").json() == concert
    found, cursor = [], None
    while True:
        page = box.http.get("/v1/concerts", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["items"]) <= 2
        found += [c["id"] for c in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found.count(concert["id"]) == 1
    assert len(found) == len(set(found))


def test_publishing_twice_changes_nothing(box: Box) -> None:
    organiser = box.organiser()
    concert = box.on_sale(organiser)
    assert organiser.post(f"/v1/concerts/{concert['id']}/publish").json() == concert


def test_a_buyer_books_lists_reads_and_cancels(box: Box) -> None:
    concert = box.on_sale(box.organiser(), capacity=5)
    buyer = box.register()
    made = buyer.book(concert["id"], 2)
    booking = made.json()
    assert made.status_code == 201
    assert made.headers["Location"] == f"/v1/bookings/{booking['id']}"
    assert booking["status"] == "confirmed"
    assert booking["total"] == {"amount": 9000, "currency": "EUR"}
    assert len({ticket["code"] for ticket in booking["tickets"]}) == 2
    assert box.available(concert["id"]) == 3
    assert [b["id"] for b in buyer.get("/v1/bookings").json()["items"]] == [booking["id"]]

    cancelled = buyer.post(f"/v1/bookings/{booking['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert box.available(concert["id"]) == 5
    assert buyer.get(f"/v1/bookings/{booking['id']}").json()["status"] == "cancelled"
    assert problem(buyer.post(f"/v1/bookings/{booking['id']}/cancel")) == (409, "already_cancelled")


def test_someone_elses_booking_is_not_there(box: Box) -> None:
    concert = box.on_sale(box.organiser())
    buyer, other = box.register(), box.register()
    path = f"/v1/bookings/{buyer.book(concert['id']).json()['id']}"
    assert problem(other.get(path)) == (404, "not_found")
    assert problem(other.post(f"{path}/cancel")) == (404, "not_found")
    assert other.get("/v1/bookings").json()["items"] == []


def test_sold_out_is_said_and_cancelled_tickets_are_sold_again(box: Box) -> None:
    concert = box.on_sale(box.organiser(), capacity=2)
    buyer, late = box.register(), box.register()
    booking = buyer.book(concert["id"], 2).json()
    assert problem(late.book(concert["id"])) == (409, "sold_out")
    buyer.post(f"/v1/bookings/{booking['id']}/cancel")
    assert late.book(concert["id"], 2).status_code == 201


def test_nobody_gets_more_than_the_limit_across_bookings(box: Box) -> None:
    concert = box.on_sale(box.organiser(), max_tickets_per_user=3)
    buyer = box.register()
    first = buyer.book(concert["id"], 2)
    assert first.status_code == 201
    assert problem(buyer.book(concert["id"], 2)) == (409, "limit_reached")
    assert buyer.book(concert["id"], 1).status_code == 201
    buyer.post(f"/v1/bookings/{first.json()['id']}/cancel")
    assert buyer.book(concert["id"], 2).status_code == 201


def test_sales_that_open_later_refuse_until_then(box: Box) -> None:
    concert = box.on_sale(box.organiser(), sales_open_at=starts_in(days=1))
    assert problem(box.register().book(concert["id"])) == (409, "not_on_sale_yet")


def test_the_same_key_gets_the_same_answer_byte_for_byte(box: Box) -> None:
    concert = box.on_sale(box.organiser(), capacity=2)
    buyer, key = box.register(), str(uuid.uuid4())
    first = buyer.book(concert["id"], 2, key=key)
    again = buyer.book(concert["id"], 2, key=key)  # though it is sold out now
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    buyer.post(f"/v1/bookings/{first.json()['id']}/cancel")
    assert buyer.book(concert["id"], 2, key=key).content == first.content


def test_a_key_is_one_users_and_one_bodys(box: Box) -> None:
    concert = box.on_sale(box.organiser())
    buyer, other, key = box.register(), box.register(), str(uuid.uuid4())
    mine = buyer.book(concert["id"], 1, key=key).json()
    assert problem(buyer.book(concert["id"], 2, key=key)) == (422, "idempotency_key_reused")
    assert other.book(concert["id"], 1, key=key).json()["id"] != mine["id"]


def test_booking_without_a_key_is_refused(box: Box) -> None:
    buyer = box.register()
    body = {"concert_id": "none", "items": [{"ticket_type": "standing", "quantity": 1}]}
    assert problem(buyer.post("/v1/bookings", body)) == (400, "idempotency_key_missing")


def test_an_unknown_concert_or_ticket_type_is_said(box: Box) -> None:
    concert = box.on_sale(box.organiser())
    buyer = box.register()
    assert problem(buyer.book("no-such-concert")) == (404, "not_found")
    unknown = buyer.book(concert["id"], code="balcony")
    assert problem(unknown) == (422, "invalid")
    assert "items" in unknown.json()["errors"]


def test_the_confirmation_arrives_by_mail_and_the_booking_says_so(box: Box) -> None:
    concert = box.on_sale(box.organiser(), title="Żółć & <Söhne>")
    buyer = box.register("Ada <b>Lovelace</b>")
    booking = buyer.book(concert["id"], 2).json()
    assert booking["confirmation_mail"] == {"state": "queued", "sent_at": None, "reason": None}

    sent = poll(lambda: _if_sent(buyer.get(f"/v1/bookings/{booking['id']}").json()))
    assert sent["confirmation_mail"]["sent_at"] is not None

    [mail] = mails_with(box, f"X-RcptTo: {buyer.user['email']}\n", booking["id"])
    assert booking["reference"] in mail["Subject"]
    assert mail["Message-ID"].startswith(f"<{booking['id']}.confirmation@")
    assert mail["X-RcptTo"] == buyer.user["email"]
    text, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
    for ticket in booking["tickets"]:
        assert ticket["code"] in text and ticket["code"] in html
    assert "Żółć & <Söhne>" in text
    assert "Żółć &amp; &lt;Söhne&gt;" in html and "<b>Lovelace" not in html


def _if_sent(booking: dict[str, Any]) -> dict[str, Any] | None:
    return booking if booking["confirmation_mail"]["state"] == "sent" else None
