"""GET /metrics tells what all processes of the gateway have counted together."""

import json
import uuid

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.api_client import Box, Person, problem
from tests.polling import poll


def counted(box: Box, name: str, **labels: str) -> float:
    """The sum of a series over all that has these labels."""
    answer = box.http.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return sum(
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.fixture(scope="module")
def organiser(box: Box) -> Person:
    return box.organiser()


def test_every_request_is_counted_once_whichever_process_answers(box: Box, organiser: Person) -> None:
    concert = box.concert(organiser)
    route = "/v1/concerts/<string:concert_id>"
    before = counted(box, "http_requests_total", route=route, status="200")
    timed = counted(box, "http_request_seconds_count", route=route, method="GET")
    for _ in range(40):
        assert organiser.get(f"/v1/concerts/{concert['id']}").status_code == 200
    assert counted(box, "http_requests_total", route=route, status="200") == before + 40
    assert counted(box, "http_request_seconds_count", route=route, method="GET") >= timed + 40


def test_sales_refusals_and_calls_are_counted(box: Box, organiser: Person) -> None:
    concert, buyer, key = box.on_sale(organiser, capacity=1), box.register(), str(uuid.uuid4())

    def outcome(name: str) -> float:
        return counted(box, "sales_total", outcome=name)

    booked, repeated, cancelled = map(outcome, ("booked", "repeated", "cancelled"))
    sold_out = counted(box, "http_refusals_total", code="sold_out")
    booking = buyer.book(concert["id"], key=key).json()
    assert buyer.book(concert["id"], key=key).headers["Idempotency-Replayed"] == "true"
    assert problem(buyer.book(concert["id"])) == (409, "sold_out")
    assert buyer.post(f"/v1/bookings/{booking['id']}/cancel").status_code == 200
    assert [outcome(name) for name in ("booked", "repeated", "cancelled")] == [booked + 1, repeated + 1, cancelled + 1]
    assert counted(box, "http_refusals_total", code="sold_out") == sold_out + 1
    assert counted(box, "rpc_request_seconds_count", method="book_tickets", outcome="refused") >= 1


def test_address_that_does_not_exist_makes_no_series_of_its_own(box: Box) -> None:
    name = uuid.uuid4().hex
    assert box.http.get(f"/v1/{name}").status_code == 404
    poll(lambda: counted(box, "http_requests_total", route="none", status="404") >= 1)
    assert name not in box.http.get("/metrics").text


def shown_by(box: Box, process: str) -> str:
    """The metrics of a process other than the gateway."""
    targets = json.loads((box.stack.data_dir / "metrics.json").read_text())
    [address] = [t["targets"][0] for t in targets if t["labels"]["process"] == process]
    return box.http.get(f"http://{address}/metrics").text


def test_nothing_is_oversold_and_what_waits_or_was_given_up_is_told(box: Box, organiser: Person) -> None:
    concert, buyer = box.on_sale(organiser, capacity=1), box.register()
    assert buyer.book(concert["id"]).status_code == 201
    assert problem(box.register().book(concert["id"])) == (409, "sold_out")
    told = [shown_by(box, f"booking_svc-{number}") for number in (1, 2)]
    assert all("\noversold_tickets 0.0\n" in text for text in told)
    assert any(float(text.partition("\nconcerts_counted ")[2].split()[0]) >= 1 for text in told)
    relay = poll(lambda: 'dead_letters{queue="evt-booking_svc' in (text := shown_by(box, "relay")) and text, seconds=20)
    assert 'outbox_oldest_seconds{outbox="booking_svc.bookings"}' in relay
    assert "mails_oldest_seconds" in shown_by(box, "mailer_svc")


def test_mails_are_counted_by_document_and_none_waits_for_long(box: Box, organiser: Person) -> None:
    def sent() -> float:
        return _value(shown_by(box, "mailer_svc"), 'mails_sent_total{document="booking_confirmed"}')

    before, concert = sent(), box.on_sale(organiser)
    assert box.register().book(concert["id"]).status_code == 201
    poll(lambda: sent() > before, seconds=20, every=0.1)
    poll(lambda: _value(shown_by(box, "mailer_svc"), "mails_oldest_seconds") < 10, seconds=20, every=0.1)


def _value(text: str, series: str) -> float:
    """What *series* says; 0 when nothing has been counted."""
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{series} ")), 0.0)
