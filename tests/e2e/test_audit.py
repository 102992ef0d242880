"""`make audit` on the running platform."""

from pymongo import MongoClient

from tests.e2e.api_client import Box
from tests.polling import poll


def test_audit_is_clean_until_somebody_tampers_with_a_booking(box: Box) -> None:
    concert = box.on_sale(box.organiser(), capacity=9)
    buyer = box.register()
    booking = buyer.book(concert["id"], 2).json()
    buyer.post("/v1/holds", {"concert_id": concert["id"], "items": [{"ticket_type": "standing", "quantity": 3}]})
    poll(lambda: buyer.get(f"/v1/bookings/{booking['id']}").json()["confirmation_mail"]["state"] == "sent")
    clean = box.stack.audit()
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "all invariants hold" in clean.stdout and "BREACH" not in clean.stdout

    with MongoClient(box.stack.mongo_uri) as mongo:
        bookings = mongo["booking_svc"]["bookings"]
        bookings.update_one({"_id": booking["id"]}, {"$inc": {"total.amount": -1}})
        try:
            tampered = box.stack.audit()
        finally:
            bookings.update_one({"_id": booking["id"]}, {"$inc": {"total.amount": 1}})
    assert tampered.returncode == 1
    assert "BREACH" in tampered.stdout and booking["id"] in tampered.stdout
