"""Somebody buys while something is away: how they are answered, and when all is well again."""

import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.e2e.test_kills import Sales
from tests.polling import poll

#: Seconds in which any request is answered under any single fault, and after which somebody has booked again.
IN_TIME, BACK = 5, 60


@dataclass
class Outage:
    """What a buyer beside the sellers was told meanwhile."""

    said: Counter[int] = field(default_factory=Counter)
    longest: float = 0.0  #: seconds that an answer took
    back: float = 0.0  #: seconds from the end of the outage to the next booking of the sellers

    def __str__(self) -> str:
        said = ", ".join(f"{number} x {status}" for status, number in sorted(self.said.items()))
        return f"{said}; {self.longest:.1f} s at most; back after {self.back:.1f} s"


def book_until(sales: Sales, over: Callable[[], bool], outage: Outage) -> None:
    """Ask for one booking after the other. Each is made, or refused with 503 and told when to come again."""
    while not over():
        buyer = sales.buyers[0]
        began = time.monotonic()
        answer = buyer.book(sales.concert_id, key=str(uuid.uuid4()))
        outage.longest = max(outage.longest, time.monotonic() - began)
        outage.said[answer.status_code] += 1
        if answer.status_code == 201:
            sales.booked[answer.json()["id"]] = buyer
        else:
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1, answer.text
        time.sleep(0.1)  # the pace of this buyer


def wait_for_sales(sales: Sales) -> float:
    """Seconds until the sellers have sold something again."""
    sold, began = len(sales.booked), time.monotonic()
    poll(lambda: len(sales.booked) > sold, BACK)
    poll(sales.box.stack.is_ready, BACK, every=0.2)
    return time.monotonic() - began
