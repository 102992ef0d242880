"""Somebody buys while something is away: how they are answered, and when all is well again."""

import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.e2e.test_kills import Sales
from tests.polling import poll

#: Seconds in which any request is answered under any single fault, and after which somebody has booked again.
IN_TIME, BACK = 5, 60


@dataclass
class Outage:
    """What a buyer beside the sellers was told meanwhile."""

    said: Counter[int] = field(default_factory=Counter)
    lasted: float = 0.0  #: seconds
    longest: float = 0.0  #: seconds that an answer took
    back: float = 0.0  #: seconds from the end of the outage to the next booking of the sellers
    key: str = field(default_factory=lambda: str(uuid.uuid4()))  #: of the booking that is asked for

    def __str__(self) -> str:
        said = ", ".join(f"{number} x {status}" for status, number in sorted(self.said.items()))
        return f"for {self.lasted:.1f} s: {said}; {self.longest:.1f} s at most; back after {self.back:.1f} s"


def book_until(sales: Sales, over: Callable[[], bool], outage: Outage) -> None:
    """Ask for one booking after the other. Each is made, or refused with 503 and then asked for again."""
    start = time.monotonic()
    while not over():
        began = time.monotonic()
        answer = _ask(sales, outage)
        outage.longest = max(outage.longest, time.monotonic() - began)
        outage.said[answer.status_code] += 1
        assert answer.status_code == 201 or int(answer.headers["Retry-After"]) >= 1, answer.text
        time.sleep(0.1)  # the pace of this buyer
    outage.lasted = time.monotonic() - start


def end(sales: Sales, outage: Outage) -> None:
    """Wait until the sellers have sold something again, and this buyer's last request has an answer, too."""
    sold, began = len(sales.booked), time.monotonic()
    poll(lambda: len(sales.booked) > sold, BACK)
    outage.back = time.monotonic() - began
    poll(sales.box.stack.is_ready, BACK, every=0.2)
    poll(lambda: _ask(sales, outage).status_code == 201, BACK, every=0.2)


def _ask(sales: Sales, outage: Outage) -> httpx.Response:
    buyer = sales.buyers[0]
    answer = buyer.book(sales.concert_id, key=outage.key)
    assert answer.status_code in (201, 503) or "request_in_progress" in answer.text, answer.text
    if answer.status_code == 201:
        sales.booked[answer.json()["id"]] = buyer
        outage.key = str(uuid.uuid4())
    return answer
