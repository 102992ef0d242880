"""A cable between a client and a server that a test can pull."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class TcpProxy:
    """Passes bytes on to the server at *uri* and back; for clients it is at `uri`, with the same login."""

    def __init__(self, uri: str) -> None:
        server = urlsplit(uri)
        assert server.hostname and server.port
        self._target = (server.hostname, server.port)
        self._sockets: set[socket.socket] = set()
        self._lost: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        login = server.netloc.rpartition("@")[0]
        self.uri = server._replace(netloc=f"{login}@127.0.0.1:{self._port}").geturl()
        self._refusing = False
        self.connections = 0  #: accepted so far
        self.refused = 0
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, refusing: bool = False) -> None:
        """End every connection; new ones are let in, unless *refusing*, until `mend`."""
        self._refusing = refusing
        for one in list(self._sockets):
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
                if self._refusing:
                    self.refused += 1
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self.connections += 1
                self._sockets |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=[source, sink], daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                if source not in self._lost:
                    sink.sendall(data)
        if source not in self._lost:
            self._drop(source)
            self._drop(sink)

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
