"""Seat maps for everybody who looks at once: written out once for each state of a concert's seats, and compressed."""

import gzip
import threading
from collections import OrderedDict
from typing import NamedTuple

from flask import Request, Response

from booking_svc.contract import SEAT_STATES, BookingService, SeatedType

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

    def answer(self, request: Request, booking: BookingService, concert_id: str) -> Response:
        """The concert's seat map; 304 when the request's If-None-Match has it."""
        written, asked = self.find(concert_id), request.if_none_match
        known = written.tag if written else next(iter(asked.as_set(include_weak=True)), None)
        seats = booking.get_seats(concert_id=concert_id, known=known)
        if seats["ticket_types"] is not None:
            written = self.add(concert_id, seats["tag"], seats["ticket_types"])
        response = Response(content_type="application/json")
        response.set_etag(seats["tag"], weak=True)
        response.headers["Cache-Control"] = "no-cache"
        response.vary.add("Accept-Encoding")
        if written is None or asked.contains_weak(seats["tag"]):
            response.status_code = 304
        elif request.accept_encodings["gzip"]:
            response.data = written.gzipped
            response.content_encoding = "gzip"
        else:
            response.data = gzip.decompress(written.gzipped)
        return response

    def find(self, concert_id: str) -> Written | None:
        """The map as this process wrote it last."""
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
