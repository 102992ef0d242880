"""Two hundred clients that take their time do not keep anybody else from buying."""

import itertools
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from tests.e2e.api_client import Box, insist
from tests.integration.gateway.slow_clients import MANNERS, slow_clients
from tests.polling import poll


def test_bookings_and_logins_go_on_beside_two_hundred_slow_clients(box: Box) -> None:
    """They are more than the gateway has threads; the test of this name in integration/ has a negative control."""
    concert = box.on_sale(box.organiser(), max_tickets_per_user=100)
    buyer, address = box.register(), urlsplit(box.stack.api_url)
    assert address.hostname and address.port
    with ExitStack() as slow:
        for manner in MANNERS.values():
            slow.enter_context(slow_clients(address.hostname, address.port, manner, number=40))
        until = time.monotonic() + 3
        for times in itertools.count(1):
            assert insist(buyer, concert["id"]).status_code == 201
            poll(lambda: box.logs_in(buyer), seconds=10, every=1)
            assert box.http.get("/health/ready").status_code == 200
            if times >= 3 and time.monotonic() > until:
                break
