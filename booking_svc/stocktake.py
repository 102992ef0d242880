"""Stocktaking: what is sold by MongoDB's word is told to Redis, by one process, while the others wait or go on."""

import time

from booking_svc import metrics
from booking_svc.bookings import Bookings
from booking_svc.counts import Count, Counts
from booking_svc.overselling import Overselling
from booking_svc.terms import Terms
from rabbitmq.errors import Unavailable

LOOK_AGAIN = 0.02  #: seconds between two looks whether the other process has ended


class Stocktake:
    """Counts concerts."""

    def __init__(self, counts: Counts, bookings: Bookings, terms: Terms) -> None:
        self._counts = counts
        self._bookings = bookings
        self._terms = terms
        self._oversold: dict[str, int] = {}

    def count(self, concert_id: str, deadline: float, again: bool = False) -> None:
        """
        Bring Redis to what MongoDB says; *again* also when another process has just done so.

        Whoever counts takes the time that it takes; who waits for another waits until *deadline*, by `time.monotonic`.

        Raises:
            ConcertNotFound: nothing was ever sold for it.
            Unavailable: it is not counted yet.
            RedisError, PyMongoError
        """
        self._terms.newest(concert_id)  # who asks for a concert that is not there need not stand in line
        while time.monotonic() < deadline:
            count = self._counts.begin(concert_id)
            if count is not None:
                if self._load(count):
                    return
                continue
            while self._counts.is_running(concert_id) and time.monotonic() < deadline:
                time.sleep(LOOK_AGAIN)
            if not again:
                return
        raise Unavailable("booking_svc")

    def _load(self, count: Count) -> bool:
        is_loaded = False
        try:
            with self._counts.alive(count):
                offer = self._terms.newest(count.concert_id)
                overselling = Overselling(offer)
                is_loaded = self._counts.load(count, offer, overselling.watch(self._bookings.sold(count.concert_id)))
                self._tell(count.concert_id, overselling.tickets())
        finally:
            if not is_loaded:
                self._counts.end(count)
        return is_loaded

    def _tell(self, concert_id: str, tickets: int) -> None:
        self._oversold[concert_id] = tickets
        metrics.oversold.set(sum(self._oversold.values()))
        metrics.counted.set(len(self._oversold))
