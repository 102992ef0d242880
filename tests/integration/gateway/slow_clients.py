"""Clients that take their time, by intent or by their network, and come again when they are hung up on."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Seconds between two bytes of those who send slowly.
PAUSE = 1.0
HEAD = "{} HTTP/1.1\r\nHost: x\r\n"
LARGE = "/docs/swagger-ui-bundle.js"


@dataclass(frozen=True)
class Manner:
    """What a client of this kind sends when it has connected, and then, byte by byte; and whether it reads."""

    at_once: bytes
    slowly: bytes = b""
    reads: bool = True


MANNERS = {
    "send their headers a byte a second": Manner(b"", (HEAD.format("GET /v1/nothing") + "X: " + "x" * 200).encode()),
    "send their body a byte a second": Manner(
        (HEAD.format("POST /v1/auth/login") + "Content-Type: application/json\r\nContent-Length: 200\r\n\r\n").encode(),
        b" " * 200,
    ),
    "connect and send nothing": Manner(b""),
    "do not read their answers": Manner((HEAD.format(f"GET {LARGE}") + "\r\n").encode() * 8, reads=False),
    "do not hang up": Manner((HEAD.format("GET /v1/nothing") + "Connection: close\r\n\r\n").encode()),
}


class _Client:
    def __init__(self, address: tuple[str, int], manner: Manner) -> None:
        self._address, self._manner = address, manner
        self.connect()

    def connect(self) -> None:
        self.connection = socket.socket()
        if not self._manner.reads:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.connection.settimeout(10)
        self.connection.connect(self._address)
        self.connection.sendall(self._manner.at_once)
        self.connection.setblocking(False)
        self._left = self._manner.slowly

    def go_on(self) -> None:
        """A second has passed."""
        try:
            if self._left:
                self.connection.send(self._left[:1])
                self._left = self._left[1:]
            elif self._manner.slowly:
                raise ConnectionError
            if self._manner.reads and self.connection.recv(65536) == b"" and "close" not in str(self._manner.at_once):
                raise ConnectionError
        except BlockingIOError:
            pass
        except OSError:
            self.connection.close()
            self.connect()


@contextmanager
def slow_clients(host: str, port: int, manner: Manner, number: int = 200) -> Iterator[None]:
    """So many of them, for the time of the block."""
    clients = [_Client((host, port), manner) for _ in range(number)]
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(PAUSE):
            for client in clients:
                client.go_on()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for client in clients:
            client.connection.close()
