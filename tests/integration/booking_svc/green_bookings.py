"""
Confirms bookings in green threads, as a service does, and prints as JSON what happened.

    python -m tests.integration.booking_svc.green_bookings MONGO_URI DATABASE patched|unpatched

A process of its own (see test_eventlet.py): what eventlet patches stays patched.
"""

import sys

import eventlet

if __name__ == "__main__" and sys.argv[3] == "patched":
    eventlet.monkey_patch()

import json
from collections import Counter
from typing import Any

from booking_svc.bookings import Bookings, ClaimTaken
from rabbitmq import database
from tests.unit.booking_svc.concerts import draft, new_id, terms

BUYERS, UNITS = 40, 20


def main() -> None:
    bookings = Bookings(database.connect(sys.argv[1], sys.argv[2]))
    on_sale = terms(new_id())
    answers: Counter[str] = Counter()
    waiting = most_waiting = steps_of_others = 0

    def buy(number: int) -> None:
        nonlocal waiting, most_waiting
        waiting += 1
        most_waiting = max(most_waiting, waiting)
        try:
            answers[bookings.confirm(draft(on_sale, f"standing:{number % UNITS + 1}"))["status"]] += 1
        except ClaimTaken as taken:
            answers["taken" if taken.owner else "taken by nobody"] += 1
        finally:
            waiting -= 1

    def go_on() -> None:
        nonlocal steps_of_others
        while True:
            steps_of_others += waiting > 0
            eventlet.sleep(0.001)

    other: Any = eventlet.spawn(go_on)
    eventlet.sleep(0)
    buyers = [eventlet.spawn(buy, number) for number in range(BUYERS)]
    for buyer in buyers:
        buyer.wait()
    other.kill()
    sold = sum(1 for _ in bookings.sold(on_sale["concert_id"]))
    print(json.dumps({**answers, "sold": sold, "most_waiting": most_waiting, "steps_of_others": steps_of_others}))


if __name__ == "__main__":
    main()
