"""What a service writes to the broker in one turn of eventlet's loop."""

from collections.abc import Iterator

import eventlet
import pytest

from rabbitmq.frames import _Outgoing


class Transport:
    """Takes what is written, slowly if it is told to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_broken, self.is_slow = False, False

    def write(self, frames: bytes) -> None:
        if self.is_broken:
            raise OSError("gone")
        piece = bytes(frames)
        if self.is_slow:
            eventlet.sleep(0)  # as a socket that is full
        self.written.append(piece)


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    with eventlet.Timeout(5):
        yield


def let_others_go(times: int = 1) -> None:
    for _ in range(times):
        eventlet.sleep(0)


def test_what_is_written_in_one_turn_goes_out_together_in_its_order(transport: Transport) -> None:
    outgoing = _Outgoing(transport)
    workers = [eventlet.spawn(outgoing.write, piece) for piece in (b"one ", b"two ", b"three")]
    for worker in workers:
        worker.wait()
    let_others_go()
    assert transport.written == [b"one two three"]
    outgoing.write(b"four")
    let_others_go()
    assert transport.written == [b"one two three", b"four"]


def test_buffer_may_be_used_again_at_once(transport: Transport) -> None:
    outgoing, buffer = _Outgoing(transport), bytearray(b"first")
    outgoing.write(memoryview(buffer))
    buffer[:] = b"other"
    let_others_go()
    assert transport.written == [b"first"]


def test_nothing_gets_ahead_of_what_is_still_being_sent(transport: Transport) -> None:
    outgoing, transport.is_slow = _Outgoing(transport), True
    outgoing.write(b"one")
    let_others_go()  # it is under way
    outgoing.write(b"two")
    outgoing.write(b"three")
    let_others_go(5)
    assert transport.written == [b"one", b"twothree"]


def test_connection_that_is_gone_keeps_nothing_and_stops_nobody(transport: Transport) -> None:
    outgoing, transport.is_broken = _Outgoing(transport), True
    outgoing.write(b"lost")
    let_others_go(2)
    transport.is_broken = False
    outgoing.write(b"next")
    let_others_go(2)
    assert transport.written == [b"next"]
