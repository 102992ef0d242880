"""
Frames to the broker and from it, many at a time: a call of the system for each is a good part of what a message costs.
"""

from collections.abc import Callable
from typing import Any

import eventlet
from amqp import method_framing  # type: ignore[import-untyped]

#: Bytes that are read at once, if they have come. py-amqp reads each frame in two pieces.
AHEAD = 64 * 1024


def frame_writer(connection: Any, transport: Any) -> Callable[..., None]:
    """py-amqp's frame writer, for `transport_options`. What is written in one turn of eventlet goes out together."""
    receive = transport._quick_recv
    transport._quick_recv = lambda wanted: receive(max(wanted, AHEAD))
    return method_framing.frame_writer(connection, _Outgoing(transport))


class _Outgoing:
    """
    Takes what is written, and sends it as soon as those who are ready now have written theirs, in their order.

    Nobody is told if it can't be sent. Then the connection is gone, as who reads from it finds out, and the broker
    still has all that was not acknowledged.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._waiting = bytearray()
        self._is_sending = False

    def write(self, frames: bytes | memoryview) -> None:
        self._waiting += frames
        if not self._is_sending:
            self._is_sending = True
            eventlet.spawn_n(self._send)

    def _send(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting, bytearray()
                self._transport.write(together)
        except OSError:
            self._waiting.clear()
        finally:
            self._is_sending = False
