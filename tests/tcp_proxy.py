"""A cable between a client and a server that a test can pull."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

#: SO_LINGER: what is closed is reset, and what is on its way is gone.
RESET = struct.pack("ii", 1, 0)


class TcpProxy:
    """
    Passes bytes on to the server at *uri* and back; for clients it is at `uri`, with the same login.

    Whoever connects while the server does not listen is turned away, and told so by a reset.
    """

    def __init__(self, uri: str) -> None:
        server = urlsplit(uri)
        assert server.hostname and server.port
        self._target = (server.hostname, server.port)
        self._sockets: set[socket.socket] = set()
        self._lost: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        login, at, _ = server.netloc.rpartition("@")
        self.uri = server._replace(netloc=f"{login}{at}127.0.0.1:{self._port}").geturl()
        self._refusing = False
        self.connections = 0  #: accepted so far
        self.refused = 0
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, refusing: bool = False, reset: bool = False) -> None:
        """End every connection, or *reset* it; new ones are let in, unless *refusing*, until `mend`."""
        self._refusing = refusing
        for one in list(self._sockets):
            if reset:
                self._reset(one)
            else:
                self._drop(one)

    def clog(self) -> None:
        """Let nothing through in either direction until `mend`; nobody is told."""
        self._flows.clear()

    def lose(self, hang_up: bool = False) -> None:
        """Let nothing through in the connections of now; the server is not told, nor the client unless *hang_up*."""
        lost = list(self._sockets)
        self._lost |= set(lost)
        if hang_up:
            for one in lost:
                if one.getsockname()[1] == self._port:
                    one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let new connections in, and everything through."""
        self._refusing = False
        self._flows.set()

    def close(self) -> None:
        self._listener.close()
        self._flows.set()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = None if self._refusing else self._connect()
                if far is None:
                    self.refused += 1
                    self._reset(near)
                    continue
                self.connections += 1
                self._sockets |= {near, far}
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=[source, sink], daemon=True).start()

    def _connect(self) -> socket.socket | None:
        try:
            return socket.create_connection(self._target)
        except OSError:
            return None

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                if source not in self._lost:
                    sink.sendall(data)
        if source not in self._lost:
            self._drop(source)
            self._drop(sink)

    def _reset(self, one: socket.socket) -> None:
        self._sockets.discard(one)
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.shutdown(socket.SHUT_RD)  # whoever reads from it lets go; the other side hears nothing yet
        one.close()

    def _drop(self, one: socket.socket) -> None:
        self._sockets.discard(one)
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def proxy(uri: str) -> Iterator[TcpProxy]:
    """A proxy to the server at *uri*, closed afterwards."""
    between = TcpProxy(uri)
    try:
        yield between
    finally:
        between.close()
