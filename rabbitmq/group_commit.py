"""
Group commit: those who want something of a server while it serves others go there together, in one trip.

Nobody waits for company. Who finds nobody on the way goes at once, alone if need be; those who come meanwhile are the
next group, and the first of them takes it there. So groups grow with the load, and a single request is a group of one.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar, cast

from rabbitmq.errors import Unavailable

Request = TypeVar("Request")
Answer = TypeVar("Answer")

#: Requests in one trip, so that none takes much longer than another.
AT_MOST = 64


class GroupCommit(Generic[Request, Answer]):
    """
    Takes requests of any number of threads, green or not, to a server, one group after the other.

    *carry_out* gets the requests of a group and gives an answer for each, in their order. An exception in the place of
    an answer is this one request's. One that *carry_out* raises befell the trip, and is everybody's who was on it.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[Request]], Sequence[Answer | Exception]], at_most: int = AT_MOST
    ) -> None:
        self._carry_out = carry_out
        self._at_most = at_most
        self._lock = Lock()  # guards what follows
        self._waiting: deque[_Waiting[Request, Answer]] = deque()
        self._is_led = False

    def ask(self, request: Request) -> Answer:
        """
        The answer to *request*, after the trip that is under way and its own.

        Raises:
            Unavailable: who led the group was killed; nobody knows what was done.
            and what *carry_out* says of the request, or raises.
        """
        ours: _Waiting[Request, Answer] = _Waiting(request)
        with self._lock:
            self._waiting.append(ours)
            leads, self._is_led = not self._is_led, True
        if leads:
            time.sleep(0)  # who is as far as we are comes along
        else:
            ours.wait()
        if ours.result is None:  # it is our turn to lead: we are the first of those who wait
            self._lead()
        return ours.answer()

    def _lead(self) -> None:
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._at_most))]
        results: list[Answer | Exception] = [Unavailable()] * len(group)
        try:
            results = [result for _, result in zip(group, self._carry_out([w.request for w in group]), strict=True)]
        except Exception as error:
            results = [error] * len(group)
        finally:  # whatever became of us, others wait
            self._pass_on()
            for one, result in zip(group, results, strict=True):
                one.tell(result)

    def _pass_on(self) -> None:
        with self._lock:
            self._is_led = bool(self._waiting)
            if self._is_led:
                self._waiting[0].wake()


class _Waiting(Generic[Request, Answer]):
    """A request, and whoever waits for its answer, or for the turn to fetch it."""

    __slots__ = ("_gate", "request", "result")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.result: tuple[Answer | Exception] | None = None
        self._gate = Lock()
        self._gate.acquire()

    def wait(self) -> None:
        self._gate.acquire()

    def wake(self) -> None:
        self._gate.release()

    def tell(self, result: Answer | Exception) -> None:
        self.result = (result,)
        self.wake()

    def answer(self) -> Answer:
        (result,) = cast("tuple[Answer | Exception]", self.result)
        if isinstance(result, Exception):
            raise result
        return result
