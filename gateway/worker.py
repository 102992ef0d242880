"""
gunicorn's worker of threads, for clients that are slow and for more of them than can be served.

gunicorn's own gives a connection to a thread, which then waits for what the client sends; 64 who send a byte a second
are all that it serves. Those who find no thread wait, however long. And it waits for each client to hang up, in the one
loop that everybody needs. Here the loop waits for all of them: a thread gets a request when all of it is here, and
whoever would wait too long for a thread is turned away at once. Behind a proxy that collects requests nothing changes.
"""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from gateway import arrivals, headers, unreadable
from gateway.arrivals import Kind, TooLarge
from gateway.config import cors_origins
from gateway.connection import Connection, Wire
from gateway.line import Line
from rabbitmq import logs

log = logging.getLogger(__name__)

#: Seconds that a client has to send a request, and to hang up after the last answer.
READING, LINGERING = 10.0, 2.0
#: Seconds that a request may have waited when a thread takes it. Its line is shorter, unless all threads are held up.
LONGEST = 0.5
#: Clients that are taken on at once, and seconds in which the next ones are left to the other processes: without that,
#: one that is quick takes all who come at the same time, and turns away what another would have answered.
AT_ONCE, OTHERS_TURN = 4, 0.001
#: And while the threads have enough to do: those who come are many then, and to be told soon.
AT_ONCE_IF_BUSY = 32
#: Seconds between two looks while the threads have enough to do: it costs less to see to many at a time.
BETWEEN_LOOKS = 0.01
#: Threads for operators only: they want to know most when all others are busy.
OPERATORS = 4
#: Connections that are waited for to be hung up on, and bytes of each that nobody reads any more.
MOST_LINGERING, MOST_DRAINED = 200, 64 * 1024
BUSY = "There is too much to do at the moment; Retry-After tells when to come again."
#: Seconds between two lines in the log that tell of requests turned away.
TELLING = 1.0


class Worker(ThreadWorker):
    """Threads that get whole requests, from lines that are short."""

    def init_process(self) -> None:
        # Only now: these count in files of their process.
        from gateway import metrics

        self._metrics = metrics
        threads = self.cfg.threads
        self._lines = {kind: Line(OPERATORS if kind is Kind.OPERATIONS else threads) for kind in Kind}
        self._operators = ThreadPoolExecutor(OPERATORS)
        self._slow = threading.BoundedSemaphore(max(1, threads // 2))
        # By when what has to have come: in this order, since each has as long as the others.
        self._reading: dict[Connection, float] = {}
        self._lingering: dict[Connection, float] = {}
        self._turned_away, self._told_at = 0, 0.0
        self._sites = cors_origins()
        self._accepts_from, self._awaits_turn = 0.0, False
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Somebody connects."""
        for _ in range(AT_ONCE_IF_BUSY if self._is_busy() else AT_ONCE):
            try:
                taken, client = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):  # another process was faster, or the client has gone
                break
            self._welcome(taken, client, listener)
        self._accepts_from = time.monotonic() + OTHERS_TURN
        self.set_accept_enabled(False)

    def set_accept_enabled(self, enabled: bool) -> None:
        """gunicorn asks for it before each wait."""
        self._awaits_turn = enabled and time.monotonic() < self._accepts_from
        super().set_accept_enabled(enabled and not self._awaits_turn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait until something happens, or it is our turn to accept."""
        if self._is_busy():
            time.sleep(BETWEEN_LOOKS)
        if self._awaits_turn:
            timeout = max(0.0, self._accepts_from - time.monotonic())
        super().wait_for_and_dispatch_events(timeout)

    def _is_busy(self) -> bool:
        return self._lines[Kind.REST].lasts(BETWEEN_LOOKS)

    def _welcome(self, taken: socket.socket, client: Any, listener: Any) -> None:
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        wire = Wire(taken, self._slow)
        self.enqueue_req(Connection(self.cfg, wire, client, listener.getsockname(), self._linger))

    def enqueue_req(self, conn: Connection) -> None:
        """There may be a request of this connection."""
        if not self._is_settled(conn):
            self._reading[conn] = time.monotonic() + READING
            self.poller.register(conn.sock, EVENT_READ, partial(self._go_on, conn))

    def handle(self, conn: Connection) -> Any:
        """In a thread: answer."""
        kind, waited = conn.request.kind, time.monotonic() - conn.since
        try:
            self._metrics.waiting_seconds.labels(kind.value).observe(waited)
            if waited > LONGEST and kind is not Kind.OPERATIONS:
                return self._turn_away(conn)
            return super().handle(conn)
        finally:
            self._lines[kind].leave()

    def murder_pending(self) -> None:
        """Give up who is late. gunicorn calls it each time it has done what there was to do."""
        now = time.monotonic()
        for conn in _due(self._reading, now):
            self._forget(self._reading, conn)
            self._refuse_to_read(conn, 408) if conn.received else self._drop(conn)
        for conn in _due(self._lingering, now):
            self._forget(self._lingering, conn)
            conn.close()
        if self._turned_away and now >= self._told_at + TELLING:
            log.warning("turned away", extra=logs.fields(requests=self._turned_away))
            self._turned_away, self._told_at = 0, now

    def _cap_keepalive(self, deadline: float) -> None:
        """It is to stop, and waits for nobody longer than this. Who connects from now on is for others at once."""
        for listener in self.sockets:  # after a kill -9 of the parent nobody else closes it, and no other could listen
            listener.close()
        super()._cap_keepalive(deadline)
        self._reading = {conn: min(due, deadline) for conn, due in self._reading.items()}

    def _go_on(self, conn: Connection, _: Any) -> None:
        self.poller.unregister(conn.sock)
        if self._is_settled(conn):
            del self._reading[conn]
        else:
            self.poller.register(conn.sock, EVENT_READ, partial(self._go_on, conn))

    def _is_settled(self, conn: Connection) -> bool:
        """Whether nothing more has to come; then it is seen to."""
        try:
            if not conn.read():
                return False
        except EOFError:
            self._drop(conn)
        except TooLarge:
            self._refuse_to_read(conn, 431)
        else:
            self._admit(conn)
        return True

    def _admit(self, conn: Connection) -> None:
        kind = conn.request.kind
        if self._lines[kind].join():
            conn.since = time.monotonic()
            taken = (self._operators if kind is Kind.OPERATIONS else self.tpool).submit(self.handle, conn)
            taken.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))
        else:
            self._end(conn, self._turn_away(conn))

    def _turn_away(self, conn: Connection) -> bool:
        """Whether the connection is good for another request."""
        told = {"Retry-After": "1"}
        if self._sites:
            told |= headers.for_site(arrivals.origin(conn.received), self._sites)
        request, lasts = conn.request, conn.skip() and self.alive
        self._turned_away += 1
        self._metrics.turned_away.labels(request.kind.value).inc()
        self._metrics.count_unrouted(503, "unavailable")
        answer = unreadable.problem(503, "unavailable", BUSY, request.request_id, told, lasts)
        return conn.sock.offer(answer) and lasts

    def _refuse_to_read(self, conn: Connection, status: int) -> None:
        code = unreadable.CODES[status]
        self._metrics.count_unrouted(status, code)
        conn.sock.offer(unreadable.problem(status, code, unreadable.MEANINGS[code]))
        self._end(conn, lasts=False)

    def _end(self, conn: Connection, lasts: bool) -> None:
        """The request was answered here; gunicorn goes on as after any other."""
        done: Future[bool] = Future()
        done.set_result(lasts)
        self.finish_request(conn, done)

    def _drop(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    def _make_room(self) -> None:
        """For a new connection: the one goes that was left unused longest, or is the slowest."""
        if self.keepalived_conns:
            idle = self.keepalived_conns.popleft()
            self.poller.unregister(idle.sock)
            self._drop(idle)
        elif self._reading:
            slowest = next(iter(self._reading))
            self._forget(self._reading, slowest)
            self._drop(slowest)

    def _linger(self, conn: Connection) -> None:
        """
        Hang up, and let the client read the answer first.

        Closed with something unread, it would be told of a fault instead (RFC 9112, section 9.6).
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            conn.close()
            return
        if len(self._lingering) >= MOST_LINGERING or self._is_drained(conn):
            conn.close()
            return
        self._lingering[conn] = time.monotonic() + LINGERING
        self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: Connection, _: Any) -> None:
        if self._is_drained(conn):
            self._forget(self._lingering, conn)
            conn.close()

    def _is_drained(self, conn: Connection) -> bool:
        came = conn.sock.take()
        conn.drained += len(came or b"")
        return came == b"" or conn.drained > MOST_DRAINED

    def _forget(self, waiting: dict[Connection, float], conn: Connection) -> None:
        del waiting[conn]
        self.poller.unregister(conn.sock)


def _due(waiting: dict[Connection, float], now: float) -> Iterator[Connection]:
    while waiting and waiting[first := next(iter(waiting))] <= now:
        yield first
