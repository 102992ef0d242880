"""
The one door to RabbitMQ: calls Nameko services from any number of threads over one connection.

One thread owns the connection (pika); callers hand it their requests and wait for a future. All requests that wait
at the moment it wakes are published together, and what crowds ask for goes in batches (`crowds.py`). A call is
answered, or fails, by its deadline: when it can't be routed, when the connection drops or is blocked by the broker's
alarm, and when nobody answers in time. Methods that answer nobody keep only so many callers waiting; the others are
told at once.
Requests carry their remaining life as `expiration`, so that none is carried out long after its caller has left.
"""

import contextlib
import json
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import InvalidStateError
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from gateway import calls
from gateway.calls import Call
from gateway.crowds import PATIENCE, Crowd
from rabbitmq.errors import Unavailable
from rabbitmq.names import RPC_EXCHANGE, batch_key, comes_in_batches, reply_id, reply_queue

log = logging.getLogger(__name__)
#: pika tells of each failure several times over; we tell of it once.
logging.getLogger("pika").setLevel(logging.CRITICAL)

#: Seconds a caller waits for an answer; with this every request is answered within five.
TIMEOUT = 4.0
#: Seconds a caller waits for a connection to come up.
CONNECTING = 1.0
#: Calls in flight per process; above it the service is overloaded and says so at once.
IN_FLIGHT = 1000
#: A method that has answered nothing for so many seconds, while calls wait for it, is silent: its service hangs, or
#: what it needs does. Then no more calls of silent methods may wait than UNANSWERED for one service, and half as many
#: again for all of them, or they would hold up requests that do without. PROBES of each service may always.
SILENCE = 1.0
UNANSWERED = 16
PROBES = 2
#: Seconds between two looks of a caller whether there are too many of them.
LOOK = 0.25
TRANSIENT = 1
UNAVAILABLE = f"{Unavailable.__module__}.{Unavailable.__qualname__}"


class RemoteError(Exception):
    """A service failed in a way its contract does not know: a mistake of ours."""


class _Impl(pika.SelectConnection):
    """pika's, which calls the system for each frame, but that what is held back is sent in one piece."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._held: list[bytes] | None = None
        super().__init__(*args, **kwargs)

    @contextlib.contextmanager
    def holding_back(self) -> Iterator[None]:
        """What is to be sent in the block is sent at its end, all in one piece."""
        self._held = []
        try:
            yield
        finally:
            frames, self._held = self._held, None
            if frames:
                super()._output_marshaled_frames([b"".join(frames)])

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        if self._held is None:
            super()._output_marshaled_frames(marshaled_frames)
        else:
            self._held += marshaled_frames


class _Connection(pika.BlockingConnection):
    """
    Sends at once what is published at the same time.

    Each call of the system lets other threads go first, and the one that owns this is needed by all of them.
    """

    def __init__(self, parameters: pika.URLParameters) -> None:
        super().__init__(parameters, _impl_class=_Impl)

    def together(self) -> contextlib.AbstractContextManager[None]:
        """What is published in the block is sent at its end."""
        return self._impl.holding_back()


class RpcClient:
    """
    Calls services at *amqp_uri*. Connects at the first call, so a process may fork before.

    *errors* are the exceptions that services may answer with; they arrive as themselves. Requests enter *exchange*.
    Of a service's silent methods *unanswered* calls may wait.
    """

    def __init__(
        self,
        amqp_uri: str,
        errors: Iterable[type[Exception]],
        exchange: str = RPC_EXCHANGE,
        unanswered: int = UNANSWERED,
    ) -> None:
        parameters = pika.URLParameters(amqp_uri)
        parameters.heartbeat = 10
        parameters.socket_timeout = parameters.stack_timeout = 3
        # What the network does not take for so many milliseconds is lost. An alarm is no reason to hang up: it is told
        # of at each new connection's first request only, which would wait in vain.
        parameters.tcp_options = {"TCP_USER_TIMEOUT": int(TIMEOUT * 1000)}
        parameters.blocked_connection_timeout = None
        parameters.client_properties = {"connection_name": "gateway"}
        self._parameters = parameters
        self._errors = {f"{error.__module__}.{error.__qualname__}": error for error in (*errors, Unavailable)}
        self._exchange = exchange
        self._unanswered = unanswered
        self._asked: dict[str, float] = {}  # service.method -> when it was asked first since it last answered
        self._reply_to = ""
        self._pending: dict[str, Call] = {}
        self._outgoing: deque[Call] = deque()
        self._lock = threading.Lock()  # guards _outgoing with _woken, who gives up, and the start of the thread
        self._woken = False
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._connected = threading.Event()
        self._blocked = False
        self._connection: _Connection | None = None
        self._channel: BlockingChannel | None = None
        # The calls that crowds ask for, by service.method. Of the thread that owns the connection.
        self._crowds: defaultdict[str, Crowd] = defaultdict(Crowd)
        self._looks_again = False

    def call(
        self, service: str, method: str, arguments: dict[str, Any], headers: dict[str, Any], timeout: float = TIMEOUT
    ) -> Any:
        """
        What *service*.*method* returns.

        Raises:
            Unavailable: no answer by the deadline; what it would have done may have been done.
            RemoteError: the service made a mistake.
            one of *errors*: the service refuses.
        """
        return self.result(self.submit(service, method, arguments, headers, timeout))

    def submit(
        self, service: str, method: str, arguments: dict[str, Any], headers: dict[str, Any], timeout: float = TIMEOUT
    ) -> Call:
        """
        Send the request; `result` waits for its answer.

        Raises:
            Unavailable: the broker is out of reach or takes nothing, too many calls are in flight, or enough of them
                wait for silent methods.
        """
        call = Call(service, method, calls.encoded(arguments), headers, deadline=time.monotonic() + timeout)
        self._start()
        if len(self._pending) >= IN_FLIGHT or not self._connected.wait(min(CONNECTING, timeout)) or self._blocked:
            raise Unavailable(service)
        self._asked.setdefault(call.asked, time.monotonic())
        self._pending[call.id] = call
        if self._is_one_too_many(call):
            raise Unavailable(service)
        with self._lock:
            self._outgoing.append(call)
            wake, self._woken = not self._woken, True
        if wake:
            self._wake()
        return call

    def result(self, call: Call) -> Any:
        """The answer to *call*; raises what `call` raises."""
        try:
            body = self._wait_for(call)
        finally:
            self._pending.pop(call.id, None)
        answer = json.loads(body)
        error = answer["error"]
        self._note_answer(call.asked, error)
        if error is None:
            return answer["result"]
        if error["exc_path"] in self._errors:
            raise self._errors[error["exc_path"]](*error["exc_args"])
        raise RemoteError(f"{call.service}.{call.method}: {error['exc_type']} {error['value']}")

    def _wait_for(self, call: Call) -> bytes:
        while True:
            left = max(0.0, call.deadline - time.monotonic())
            try:
                return call.answer.result(min(left, LOOK))
            except TimeoutError:
                if left <= LOOK or self._is_one_too_many(call):
                    raise Unavailable(call.service) from None

    def _is_one_too_many(self, call: Call) -> bool:
        """Whether its method is silent, and enough others wait for such; then it waits no more."""
        if not self._is_silent(call.asked):
            return False
        with self._lock:  # one after the other, or all would go
            waiting = [other.service for other in list(self._pending.values()) if self._is_silent(other.asked)]
            of_service = waiting.count(call.service)
            in_all = self._unanswered + self._unanswered // 2
            if of_service <= PROBES or (of_service <= self._unanswered and len(waiting) <= in_all):
                return False
            self._pending.pop(call.id, None)
            return True

    def _is_silent(self, asked: str) -> bool:
        since = self._asked.get(asked)
        return since is not None and time.monotonic() >= since + SILENCE

    def _note_answer(self, asked: str, error: Any) -> None:
        """It is not silent, unless all it says is that something behind it is."""
        if error is None or error["exc_path"] != UNAVAILABLE:
            self._asked.pop(asked, None)

    def is_connected(self) -> bool:
        """Whether the broker takes our requests now."""
        return self.state() == "ok"

    def state(self) -> str:
        """`ok`; `blocked`, when the broker has an alarm and takes nothing; `does not answer`."""
        self._start()
        if not self._connected.wait(CONNECTING):
            return "does not answer"
        return "blocked" if self._blocked else "ok"

    def close(self) -> None:
        """Give up the connection; calls in flight fail."""
        self._stopping = True
        self._wake()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _start(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="rpc", daemon=True)
                    self._thread.start()

    def _wake(self) -> None:
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(AMQPError):  # it has just closed; _run fails what is pending
                connection.add_callback_threadsafe(self._publish_waiting)

    # What follows runs in the thread that owns the connection.

    def _run(self) -> None:
        pause = 0.1
        while not self._stopping:
            try:
                connection = _Connection(self._parameters)
                pause = 0.1
                self._serve(connection)
            except (AMQPError, OSError) as error:
                log.warning("no connection to RabbitMQ: %r", error)
            except Exception:  # without this thread no call is ever answered again
                log.exception("the connection to RabbitMQ failed in a way not known")
            self._fail_all()
            if not self._stopping:
                time.sleep(pause)
                pause = min(1.0, pause * 2)

    def _serve(self, connection: _Connection) -> None:
        try:
            channel = connection.channel()
            self._reply_to = reply_id("gateway")  # the broker may not know yet that the last connection has ended
            queue = reply_queue(self._reply_to)
            channel.queue_declare(queue, exclusive=True, auto_delete=True)
            channel.queue_bind(queue, RPC_EXCHANGE, self._reply_to)
            channel.basic_consume(queue, self._on_reply, auto_ack=True, exclusive=True)
            channel.add_on_return_callback(self._on_return)
            connection.add_on_connection_blocked_callback(self._on_blocked)
            connection.add_on_connection_unblocked_callback(self._on_unblocked)
            self._connection, self._channel, self._blocked = connection, channel, False
            self._asked.clear()  # who was out of reach was not silent
            self._connected.set()
            self._publish_waiting()  # what was handed over while the last connection went down
            while not self._stopping and channel.is_open:
                connection.process_data_events(time_limit=1)
        finally:
            if connection.is_open:  # closing it twice would hide why it went
                connection.close()

    def _publish_waiting(self) -> None:
        with self._lock:
            waiting, self._outgoing, self._woken = self._outgoing, deque(), False
        if self._connection is None or self._channel is None:
            for call in waiting:
                call.fail()
            return
        with self._connection.together():
            for call in waiting:
                if comes_in_batches(call.service, call.method):
                    self._crowds[call.asked].join(call)
                elif call.life > 0:
                    self._publish(self._channel, call.asked, call.body, call.life, call.id, call.headers)
                else:
                    call.fail()
        self._let_crowds_go()

    def _let_crowds_go(self) -> None:
        """Those of them whose turn it is, if somebody still waits for their answers."""
        if self._connection is None or self._channel is None:
            return
        with self._connection.together():
            for asked, crowd in self._crowds.items():
                for group in crowd.leaving():
                    if going := [call for call in group if call.life > 0 and call.id in self._pending]:
                        key, life = batch_key(asked), max(call.life for call in going)
                        self._publish(self._channel, key, calls.batch(going), life, key, {})
        if not self._looks_again and any(crowd.is_waiting() for crowd in self._crowds.values()):
            self._looks_again = True
            self._connection.call_later(PATIENCE, self._look_again)

    def _look_again(self) -> None:
        self._looks_again = False
        self._let_crowds_go()

    def _publish(
        self, channel: BlockingChannel, key: str, body: bytes, life: int, correlation_id: str, headers: dict[str, Any]
    ) -> None:
        properties = pika.BasicProperties(
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=TRANSIENT,
            expiration=str(life),
            reply_to=self._reply_to,
            correlation_id=correlation_id,
            headers=headers,
        )
        channel.basic_publish(self._exchange, key, body, properties, mandatory=True)

    def _on_reply(self, channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        answered = properties.correlation_id or ""
        asked = answered.partition(":")[0]
        call = self._pending.get(answered)
        if call is None:  # too late for whoever asked
            self._note_answer(asked, json.loads(body)["error"])
        else:
            with contextlib.suppress(InvalidStateError):
                call.answer.set_result(body)
        if asked in self._crowds:
            self._crowds[asked].note_answer(answered)
            self._let_crowds_go()

    def _on_return(self, channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        returned = str(properties.correlation_id)
        for call_id in [returned] if ":" in returned else calls.ids_in(body):
            if (call := self._pending.get(call_id)) is not None:
                call.fail()

    def _on_blocked(self, *_: Any) -> None:
        log.warning("RabbitMQ takes no messages: an alarm is on")
        self._blocked = True
        self._fail_pending()

    def _on_unblocked(self, *_: Any) -> None:
        self._asked.clear()
        self._blocked = False

    def _fail_all(self) -> None:
        self._connected.clear()
        self._connection = self._channel = None
        self._crowds.clear()
        self._looks_again = False
        with self._lock:
            self._outgoing.clear()
            self._woken = False
        self._fail_pending()

    def _fail_pending(self) -> None:
        for call in list(self._pending.values()):
            call.fail()
