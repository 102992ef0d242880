"""
Requests that are sent at a fixed pace, whatever becomes of those before: a queue cannot slow down who fills it.

One thread and little work for each request, since it shares the processor with what it asks: what is due within a TICK
goes out together, which costs a third. Each request goes over a connection that is at rest, or a new one.
"""

import selectors
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Seconds that an answer may take; then the connection is given up.
PATIENCE = 10.0
#: Seconds between two looks at what is due and what has come.
TICK = 0.005


@dataclass
class Answers:
    """What came back, by status; 0: nothing. Seconds from when each was due until its answer was here."""

    asked: int = 0
    took: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    without_retry_after: int = 0
    most_open: int = 0
    late: float = 0.0  #: how late the last request was sent, at worst: then the load itself was too slow

    @property
    def counted(self) -> Counter[int]:
        return Counter({status: len(took) for status, took in self.took.items()})

    def percentile(self, status: int, part: float) -> float:
        took = sorted(self.took[status])
        return took[min(len(took) - 1, int(len(took) * part))]


class _Asked:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.due = 0.0
        self.rest = b""  # of the request
        self.received = b""


def _connect(host: str, port: int) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.connect_ex((host, port))
    return connection


def send(host: str, port: int, requests: Iterator[bytes], each_second: float, seconds: float) -> Answers:
    """Send *requests* so often, for so long, and wait for the last answers."""
    answers, selector = Answers(), selectors.DefaultSelector()
    at_rest: list[_Asked] = []
    under_way: dict[_Asked, None] = {}
    began = time.monotonic()

    def give_up(asked: _Asked) -> None:
        selector.unregister(asked.connection)
        asked.connection.close()

    def ended(asked: _Asked, status: int) -> None:
        del under_way[asked]
        answers.took[status].append(time.monotonic() - asked.due)

    def ask(due: float) -> None:
        is_new = not at_rest
        asked = _Asked(_connect(host, port)) if is_new else at_rest.pop()
        asked.due, asked.rest, asked.received = due, next(requests), b""
        under_way[asked] = None
        answers.asked += 1
        answers.most_open = max(answers.most_open, len(at_rest) + len(under_way))
        if is_new:
            selector.register(asked.connection, selectors.EVENT_WRITE, asked)
        else:  # it takes a request whole, and the answer is waited for already
            go_on(asked, can_write=True)

    def go_on(asked: _Asked, can_write: bool) -> None:
        try:
            if can_write:
                asked.rest = asked.rest[asked.connection.send(asked.rest) :]
                is_whole = not asked.rest
                wanted = selectors.EVENT_READ if is_whole else selectors.EVENT_WRITE
                if selector.get_key(asked.connection).events != wanted:
                    selector.modify(asked.connection, wanted, asked)
                return
            came = asked.connection.recv(65536)
        except OSError:
            came = b""
        if asked not in under_way:  # at rest, and hung up on
            at_rest.remove(asked)
            give_up(asked)
            return
        asked.received += came
        head, _, body = asked.received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0]
        if came and not (length and len(body) >= int(length)):
            return
        status = int(head[9:12]) if came else 0
        ended(asked, status)
        if status == 503 and b"\r\nretry-after:" not in head.lower():
            answers.without_retry_after += 1
        if not came or b"\r\nconnection: close" in head.lower():
            give_up(asked)
        else:
            at_rest.append(asked)

    while (now := time.monotonic()) < began + seconds or under_way:
        due = began + answers.asked / each_second
        while due <= now and due < began + seconds:
            answers.late = max(answers.late, now - due)
            ask(due)
            due = began + answers.asked / each_second
        time.sleep(TICK)
        for key, events in selector.select(0):
            go_on(key.data, bool(events & selectors.EVENT_WRITE))
        while under_way and (first := next(iter(under_way))).due < now - PATIENCE:
            ended(first, 0)
            give_up(first)
    for asked in at_rest:
        give_up(asked)
    return answers
