"""Seat maps for everybody who looks at once: written out once for each state of a concert's seats, and compressed."""

import gzip
import threading
from collections import OrderedDict
from typing import NamedTuple

from booking_svc.contract import SEAT_STATES, SeatedType

#: Concerts whose seat map a process keeps; one of 50,000 seats takes about 200 kB.
KEPT = 32


class Written(NamedTuple):
    tag: str
    gzipped: bytes  #: the JSON of `schemas.SeatMap`


def write(ticket_types: list[SeatedType]) -> bytes:
    """The JSON of `schemas.SeatMap`, in order. Names and codes are letters, digits, `-` and `_`: nothing to escape."""
    items = []
    for seated in ticket_types:
        ends = {
            letter: f'","ticket_type":"{seated["code"]}","state":"{state}"}}' for letter, state in SEAT_STATES.items()
        }
        letters = iter(seated["states"])
        for block in seated["seating"]:
            numbers = range(1, block["seats_per_row"] + 1)
            for row in block["rows"]:
                begin = f'{{"seat":"{block["section"]}-{row}-'
                items += [f"{begin}{number}{ends[next(letters)]}" for number in numbers]
    return ('{"items":[' + ",".join(items) + "]}").encode()


class SeatMaps:
    """The seat maps written last, by concert."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._written: OrderedDict[str, Written] = OrderedDict()

    def find(self, concert_id: str) -> Written | None:
        with self._lock:
            if concert_id in self._written:
                self._written.move_to_end(concert_id)
            return self._written.get(concert_id)

    def add(self, concert_id: str, tag: str, ticket_types: list[SeatedType]) -> Written:
        """Write it, unless somebody has just done so."""
        with self._writing:
            found = self.find(concert_id)
            if found is not None and found.tag == tag:
                return found
            written = Written(tag, gzip.compress(write(ticket_types), compresslevel=1))
            with self._lock:
                self._written[concert_id] = written
                self._written.move_to_end(concert_id)
                while len(self._written) > KEPT:
                    self._written.popitem(last=False)
            return written
