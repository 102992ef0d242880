"""
A connection that publishes many messages at once and tells what became of each.

pika's blocking connection waits for the confirm of each message. This one sends them all, on pika's own loop and the
caller's thread, and sorts what comes back: confirms, returns of what nobody would get, and the broker's protests.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from pika.exceptions import AMQPConnectionError, AMQPError, ChannelClosedByBroker
from pika.spec import Basic

#: Seconds for a connection to come up, and until a broker that confirms nothing, though no alarm is on, is given up.
CONNECTING, CONFIRMING = 5.0, 10.0
#: Seconds between two looks at whether to go on.
TICK = 0.25


class Message(NamedTuple):
    exchange: str
    routing_key: str
    body: bytes
    properties: pika.BasicProperties


class Confirmed(NamedTuple):
    """The broker has it, on disk, in every queue that is to have it."""


class Refused(NamedTuple):
    """The broker does not take this message; others it does."""

    reason: str


class Unknown(NamedTuple):
    """The connection broke first: the broker may have it."""


Outcome = Confirmed | Refused | Unknown


class ConfirmingConnection:
    """A connection to the broker with a channel in confirm mode. For one thread."""

    def __init__(self, parameters: pika.connection.Parameters) -> None:
        """
        Raises:
            AMQPError: there is no connection within CONNECTING seconds.
        """
        self.blocked = False  #: an alarm is on: the broker takes nothing for now
        self._failure: BaseException | None = None
        self._channel: Channel | None = None
        self._channel_failure: BaseException | None = None
        self._tags = itertools.count(1)
        self._waiting: dict[int, int] = {}  # delivery tag -> place in _outcomes
        self._outcomes: list[Outcome] = []
        self._loop = IOLoop()
        self._loop.activate_poller()
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_failure,
            on_close_callback=self._on_failure,
            custom_ioloop=self._loop,
        )
        try:
            self._run(lambda: self._channel is not None, CONNECTING)
            if self._channel is None:
                raise self._failure_of("no answer")
        except BaseException:
            self.close()
            raise

    def publish(self, messages: Sequence[Message], goes_on: Callable[[], bool] = lambda: True) -> list[Outcome]:
        """
        Publish *messages* in this order, all `mandatory`, and wait until each is confirmed or refused.

        While an alarm is on it waits as long as *goes_on* says so; it is asked every TICK seconds.

        Returns:
            what became of each.
        """
        outcomes = self._publish_together(messages, goes_on)
        for number, outcome in enumerate(outcomes):
            # The broker closed the channel over one of them, and does not say which: each for itself, then.
            if isinstance(outcome, Unknown) and self._failure is None:
                (alone,) = self._publish_together([messages[number]], goes_on)
                if isinstance(alone, Unknown) and isinstance(self._channel_failure, ChannelClosedByBroker):
                    alone = Refused(self._channel_failure.reply_text)
                outcomes[number] = alone
        return outcomes

    def idle(self, seconds: float) -> None:
        """
        Do nothing but what keeps the connection alive.

        Raises:
            AMQPError: it is gone.
        """
        self._run(lambda: False, seconds)
        if self._failure is not None:
            raise self._failure_of("closed")

    def close(self) -> None:
        """Say goodbye, if the broker listens."""
        if self._failure is None:
            with contextlib.suppress(AMQPError):
                self._connection.close()
                self._run(lambda: False, seconds=1)
        self._loop.deactivate_poller()
        self._loop.close()

    def _publish_together(self, messages: Sequence[Message], goes_on: Callable[[], bool]) -> list[Outcome]:
        self._waiting, self._outcomes = {}, [Unknown()] * len(messages)
        if self._failure is None and self._channel is None:
            self._open_channel()
        channel = self._channel
        if channel is None:
            return self._outcomes
        for place, message in enumerate(messages):
            if not channel.is_open:
                break
            try:
                self._send(channel, place, message)
            except Exception as error:  # pika cannot write it: struct.error, ValueError, AssertionError ...
                self._outcomes[place] = Refused(f"cannot be written: {error!r}")
        self._await_confirms(channel, goes_on)
        return self._outcomes

    def _send(self, channel: Channel, place: int, message: Message) -> None:
        # A return carries no delivery tag, and two documents may have an event of the same id.
        message.properties.correlation_id = str(place)
        channel.basic_publish(message.exchange, message.routing_key, message.body, message.properties, mandatory=True)
        self._waiting[next(self._tags)] = place

    def _await_confirms(self, channel: Channel, goes_on: Callable[[], bool]) -> None:
        silent_since, left = time.monotonic(), len(self._waiting)
        while self._waiting and channel.is_open and self._failure is None:
            self._run(lambda: not self._waiting or not channel.is_open, TICK)
            if self.blocked or len(self._waiting) < left:
                silent_since, left = time.monotonic(), len(self._waiting)
            if not goes_on() or time.monotonic() > silent_since + CONFIRMING:
                self._failure = AMQPConnectionError("given up")
                with contextlib.suppress(AMQPError):
                    self._connection.close()

    def _open_channel(self) -> None:
        self._connection.channel(on_open_callback=self._on_channel_open)
        self._run(lambda: self._channel is not None, CONNECTING)
        if self._channel is None and self._failure is None:
            self._failure = AMQPConnectionError("no channel")

    def _run(self, done: Callable[[], bool], seconds: float) -> None:
        """Run pika's loop until *done*, the connection is gone, or so many seconds have passed."""
        deadline = time.monotonic() + seconds
        alarm = self._loop.call_later(seconds, lambda: None)  # wakes the loop
        while not done() and self._failure is None and time.monotonic() < deadline:
            self._loop.poll()
            self._loop.process_timeouts()
        self._loop.remove_timeout(alarm)

    def _failure_of(self, otherwise: str) -> AMQPError:
        return (
            self._failure if isinstance(self._failure, AMQPError) else AMQPConnectionError(self._failure or otherwise)
        )

    # pika calls these from its loop.

    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(lambda *_: self._on_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._on_blocked(False))
        connection.channel(on_open_callback=self._on_channel_open)

    def _on_channel_open(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._on_channel_ready(channel))

    def _on_channel_ready(self, channel: Channel) -> None:
        self._channel, self._tags = channel, itertools.count(1)

    def _on_channel_closed(self, channel: Channel, reason: BaseException) -> None:
        self._channel, self._channel_failure = None, reason

    def _on_failure(self, connection: Any, reason: BaseException) -> None:
        self._failure = reason

    def _on_blocked(self, blocked: bool) -> None:
        self.blocked = blocked

    def _on_return(self, channel: Channel, method: Basic.Return, properties: pika.BasicProperties, body: bytes) -> None:
        place = int(properties.correlation_id or -1)
        self._outcomes[place] = Refused(f"{method.reply_text}: nobody hears {method.routing_key}")

    def _on_confirm(self, frame: Any) -> None:
        last, multiple = frame.method.delivery_tag, frame.method.multiple
        outcome: Outcome = Confirmed() if isinstance(frame.method, Basic.Ack) else Refused("a queue does not take it")
        for tag in [tag for tag in self._waiting if tag <= last] if multiple else [last]:
            place = self._waiting.pop(tag, None)
            # A return comes before its confirm.
            if place is not None and isinstance(self._outcomes[place], Unknown):
                self._outcomes[place] = outcome
