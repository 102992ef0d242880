"""The services as the routes see them: `services().booking.book_tickets(...)` is an RPC, typed by its contract."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from flask import current_app, g, has_request_context

from auth_svc.contract import AuthService
from booking_svc.contract import BookingService
from concert_svc.contract import ConcertService
from gateway import metrics
from gateway.rpc import TIMEOUT, RemoteError, RpcClient
from mailer_svc.contract import MailerService
from rabbitmq.errors import Unavailable


class Services(NamedTuple):
    auth: AuthService
    concert: ConcertService
    booking: BookingService
    mailer: MailerService


class _Remote:
    """Stands for a service; each attribute is one of its RPC methods, called by keywords."""

    def __init__(self, client: RpcClient, service: str) -> None:
        self._client = client
        self._service = service

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            began, outcome = time.perf_counter(), "failed"
            try:
                answer = self._client.call(self._service, method, arguments, context(), patience())
                outcome = "answered"
                return answer
            except Unavailable:
                outcome = "unavailable"
                raise
            except RemoteError:
                raise
            except Exception:
                outcome = "refused"
                raise
            finally:
                metrics.calls.labels(self._service, method, outcome).observe(time.perf_counter() - began)

        return call


def context() -> dict[str, str]:
    """The headers that travel with a call and with all that it causes."""
    return {"nameko.request_id": g.request_id} if has_request_context() else {}


def patience() -> float:
    """Seconds left for calls: those of one HTTP request share TIMEOUT, from the first of them on."""
    if not has_request_context():
        return TIMEOUT
    if "deadline" not in g:
        renew_patience()
    return max(0.0, float(g.deadline - time.monotonic()))


def renew_patience() -> None:
    """The rest of this request has TIMEOUT again: a part of the answer has been sent, and its client is patient."""
    g.deadline = time.monotonic() + TIMEOUT


def connect(client: RpcClient) -> Services:
    """The services behind *client*."""
    return Services(
        auth=cast(AuthService, _Remote(client, "auth_svc")),
        concert=cast(ConcertService, _Remote(client, "concert_svc")),
        booking=cast(BookingService, _Remote(client, "booking_svc")),
        mailer=cast(MailerService, _Remote(client, "mailer_svc")),
    )


def services() -> Services:
    """The services of the current app."""
    return cast(Services, current_app.extensions["services"])
