"""`make audit` on the running platform."""

import subprocess
import sys
from typing import Any

import pytest
from pymongo import MongoClient

from tests.e2e.api_client import Box
from tests.polling import poll


@pytest.fixture(scope="module")
def box(stack: Any) -> Box:
    return Box(stack)


def audit(box: Box) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "local", "audit"]
    return subprocess.run(program, env=box.stack.environment, capture_output=True, text=True, timeout=100)


def test_audit_is_clean_until_somebody_tampers_with_a_booking(box: Box) -> None:
    concert = box.on_sale(box.organiser(), capacity=9)
    buyer = box.register()
    booking = buyer.book(concert["id"], 2).json()
    buyer.post("/v1/holds", {"concert_id": concert["id"], "items": [{"ticket_type": "standing", "quantity": 3}]})
    poll(lambda: buyer.get(f"/v1/bookings/{booking['id']}").json()["confirmation_mail"]["state"] == "sent")
    clean = audit(box)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    assert "all invariants hold" in clean.stdout and "BREACH" not in clean.stdout

    with MongoClient(box.stack.mongo_uri) as mongo:
        bookings = mongo["booking_svc"]["bookings"]
        bookings.update_one({"_id": booking["id"]}, {"$inc": {"total.amount": -1}})
        try:
            tampered = audit(box)
        finally:
            bookings.update_one({"_id": booking["id"]}, {"$inc": {"total.amount": 1}})
    assert tampered.returncode == 1
    assert "BREACH" in tampered.stdout and booking["id"] in tampered.stdout
