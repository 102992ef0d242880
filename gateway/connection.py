"""A client's connection: read when there is something to read, and written to without holding a thread for long."""

import errno
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from gunicorn.http import get_parser
from gunicorn.workers.gthread import TConn

from gateway import arrivals

#: Seconds that a client has to take a part of an answer.
SENDING = 10.0
#: Bytes that are read at once.
PIECE = 64 * 1024


class Wire(socket.socket):
    """
    A client's socket that never waits to read, and waits to write only as one of a few.

    gunicorn's threads write to it: *slow* is how many of them may wait for clients at the same time.
    """

    def __init__(self, taken: socket.socket, slow: threading.BoundedSemaphore) -> None:
        super().__init__(taken.family, taken.type, taken.proto, taken.detach())
        super().setblocking(False)
        self._slow = slow

    def setblocking(self, flag: bool) -> None:
        """It stays as it is, whatever gunicorn wants."""

    def recv(self, *args: Any) -> bytes:
        """
        For gunicorn, to which a request is given when it is all here.

        Raises:
            ConnectionResetError: it is not what it said it would be.
        """
        try:
            return super().recv(*args)
        except BlockingIOError:
            raise ConnectionResetError(errno.ECONNRESET, "the request has no end") from None

    def take(self) -> bytes | None:
        """What has come, None while there is nothing, nothing at the end."""
        try:
            return super().recv(PIECE)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def offer(self, data: bytes) -> bool:
        """Send *data* if it is taken at once and whole."""
        try:
            return self.send(data) == len(data)
        except OSError:
            return False

    def sendall(self, data: Any, flags: int = 0) -> None:
        """
        Send *data*, and wait for a client that is slow to take them.

        Raises:
            BrokenPipeError: it took too long, or others are waited for already.
        """
        left = memoryview(data)
        try:
            left = left[self.send(left, flags) :]
        except BlockingIOError:
            pass
        if left:
            self._send_slowly(left, flags)

    def _send_slowly(self, left: memoryview, flags: int) -> None:
        if not self._slow.acquire(blocking=False):
            raise BrokenPipeError(errno.EPIPE, "too many clients are slow to take their answers")
        try:
            deadline, writable = time.monotonic() + SENDING, select.poll()
            writable.register(self, select.POLLOUT)
            while left:
                if not writable.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    raise BrokenPipeError(errno.EPIPE, "the client does not take its answer")
                try:
                    left = left[self.send(left, flags) :]
                except BlockingIOError:
                    pass
        finally:
            self._slow.release()


class Connection(TConn):
    """gunicorn's, with what was received and is not read yet. *linger* ends it without waiting for the client."""

    def __init__(self, cfg: Any, wire: Wire, client: Any, server: Any, linger: "Callable[[Connection], None]") -> None:
        super().__init__(cfg, wire, client, server)
        self.received = bytearray()
        self.request: Any = None  #: an `arrivals.Request`, once it is here
        self.since = 0.0  #: when it joined its line
        self.drained = 0  #: bytes that nobody reads
        self._linger = linger
        self._was_asked = False
        self.parser = get_parser(cfg, wire, client)
        self.initialized = True

    def read(self) -> bool:
        """
        Take in what is there. Gives whether a request is here.

        Raises:
            EOFError: the client has gone.
            TooLarge
        """
        self.received += self.parser.unreader.take_buffered()
        came = self.sock.take()
        if came == b"":
            raise EOFError
        self.received += came or b""
        self.request = arrivals.arrived(self.received)
        if self.request is None and not self._was_asked and arrivals.wants_to_be_asked(self.received):
            self._was_asked = self.sock.offer(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self.request is not None

    def skip(self) -> bool:
        """Leave the request unread. Gives whether the connection is good for another one."""
        lasts = self.request.lasts and len(self.received) == self.request.size
        self.received.clear()
        return lasts

    def init(self) -> None:
        """A thread begins with it: gunicorn's parser gets what is here."""
        if self._was_asked:  # gunicorn would ask once more
            self.received = bytearray(arrivals.EXPECTS.sub(b"", self.received, 1))
            self._was_asked = False
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self._linger(self)
        else:
            super().close()
