"""Every way to say no: ONE table from contract error to status and code, answered as RFC 9457 problem+json."""

import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, g, has_request_context, json, request
from flask_smorest import Api
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from auth_svc import contract as auth
from booking_svc import contract as booking
from concert_svc import contract as concert
from gateway import unreadable
from gateway.catalogue import CODES, next_steps, type_of
from gateway.rpc import RemoteError
from mailer_svc import contract as mailer
from rabbitmq.errors import Unavailable

log = logging.getLogger(__name__)


class NotAuthenticated(Exception):
    """The request carries no access token, or one that is not ours."""


class TokenExpired(Exception):
    """The access token has expired; refresh it."""


class Forbidden(Exception):
    """Your role does not allow this."""


class NoSuchFile(Exception):
    """There is nothing at this address, or it is not yours."""


class RateLimited(Exception):
    """There were too many requests; Retry-After tells when the next one is welcome."""


class IdempotencyKeyMissing(Exception):
    """This request needs an Idempotency-Key header: a new random text for each purchase, the same for its retries."""


#: Seconds until a client may try again, for those answers that are worth it and do not say it themselves.
RETRY_AFTER = {"unavailable": 1, "request_in_progress": 1, "rate_limited": 60}

TABLE: dict[type[Exception], tuple[int, str]] = {
    NotAuthenticated: (401, "not_authenticated"),
    TokenExpired: (401, "token_expired"),
    auth.SessionEnded: (401, "session_ended"),
    auth.BadCredentials: (401, "bad_credentials"),
    Forbidden: (403, "forbidden"),
    auth.LoginTooOld: (403, "login_too_old"),
    NoSuchFile: (404, "not_found"),
    auth.SessionNotFound: (404, "not_found"),
    auth.UserNotFound: (404, "not_found"),
    concert.ConcertNotFound: (404, "not_found"),
    booking.ConcertNotFound: (404, "not_found"),
    booking.BookingNotFound: (404, "not_found"),
    booking.HoldNotFound: (404, "not_found"),
    mailer.BuyerNotFound: (404, "not_found"),
    auth.EmailTaken: (409, "email_taken"),
    auth.HasDuties: (409, "has_duties"),
    concert.WrongState: (409, "wrong_state"),
    booking.SoldOut: (409, "sold_out"),
    booking.TicketsUnavailable: (409, "tickets_unavailable"),
    booking.HoldExpired: (409, "hold_expired"),
    booking.LimitReached: (409, "limit_reached"),
    booking.NotOnSaleYet: (409, "not_on_sale_yet"),
    booking.SalesClosed: (409, "sales_closed"),
    booking.ConcertCancelled: (409, "concert_cancelled"),
    booking.AlreadyCancelled: (409, "already_cancelled"),
    mailer.BookingCancelled: (409, "already_cancelled"),
    booking.NotCancellable: (409, "not_cancellable"),
    booking.RequestInProgress: (409, "request_in_progress"),
    concert.CapacityBelowSold: (409, "wrong_state"),
    booking.CapacityBelowSold: (409, "wrong_state"),
    concert.SeatsTaken: (409, "tickets_unavailable"),
    concert.InvalidConcert: (422, "invalid"),
    concert.StartsTooSoon: (422, "starts_too_soon"),
    auth.WeakPassword: (422, "invalid"),
    auth.InvalidToken: (422, "invalid"),
    booking.UnknownTicketType: (422, "invalid"),
    booking.UnknownSeat: (422, "invalid"),
    booking.IdempotencyKeyReused: (422, "idempotency_key_reused"),
    IdempotencyKeyMissing: (400, "idempotency_key_missing"),
    auth.TooManyTries: (429, "rate_limited"),
    RateLimited: (429, "rate_limited"),
    booking.ResentTooOften: (429, "rate_limited"),
    Unavailable: (503, "unavailable"),
    RedisError: (503, "unavailable"),
}

#: Refusals that are about an item; their arguments are what of it.
ITEM_ERRORS: dict[type[Exception], str] = {
    booking.UnknownTicketType: "There is no ticket type {}.",
    booking.UnknownSeat: "There is no seat {}.",
    booking.SoldOut: "There are not enough tickets of {} left.",
    booking.TicketsUnavailable: "{} is not available.",
}

#: Refusals that say in their first argument after how many seconds a client may try again.
WAITS = (auth.TooManyTries, RateLimited)

#: What is wrong with a password, by WeakPassword's second argument; the first is the field.
WEAKNESSES = {
    "common": "Is among the passwords that are guessed first.",
    "contains_address": "Must not contain your e-mail address, or its name.",
}

#: What services may answer with.
CONTRACT_ERRORS = [error for error in TABLE if error.__module__.endswith(".contract")]

#: Where the HTTP library's own name for a status is not our code for it.
HTTP_CODES = {400: "malformed_json", 422: "invalid", 413: "content_too_large", 500: "internal"}

#: What the HTTP library answers by itself, and what it means here.
HTTP_MEANINGS = {
    400: "The body is not JSON.",
    404: "There is nothing at this address, or it is not yours.",
    405: "The address does not know this method; Allow lists those it knows.",
    406: "The answer has no form that Accept allows.",
    411: "The body comes without its length.",
    413: "The body is larger than 64 KiB.",
    415: "The body must be application/json.",
    422: "Some fields are not as they should be; `errors` names them.",
    500: "A mistake on our side. It is in our log under the request_id.",
}


def _http_code(status: int) -> str:
    return HTTP_CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_"))


def _meaning(error: type[Exception]) -> str:
    return str(error.__doc__).strip()


def meanings() -> dict[str, str]:
    """Every code that the API answers with, and what it says."""
    known = {**unreadable.MEANINGS, **{_http_code(status): meaning for status, meaning in HTTP_MEANINGS.items()}}
    for error, (_, code) in TABLE.items():
        known.setdefault(code, _meaning(error))
    return known


def example(code: str) -> dict[str, Any]:
    """What the answer with *code* looks like."""
    names = {"concert_id": "6f1c2a9e4b7d4e0f8a3b5c7d9e1f2a3b"}
    wrong = {"title": ["Missing data for required field."]} if code == "invalid" else None
    status = CODES[code].status
    return _body(status, code, meanings()[code], wrong, next_steps(code, lambda: names), "checkout-4711")


def problem(status: int, code: str, detail: str, errors: dict[str, Any] | None = None) -> Response:
    """The answer to a request that is not carried out."""
    g.refusal = code  # for the metrics
    body = _body(status, code, detail, errors, next_steps(code, _about), g.get("request_id"))
    response = Response(json.dumps(body), status, content_type="application/problem+json")
    if code in RETRY_AFTER:
        response.headers["Retry-After"] = str(RETRY_AFTER[code])
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _body(
    status: int,
    code: str,
    detail: str,
    errors: dict[str, Any] | None,
    steps: list[dict[str, str]],
    request_id: str | None,
) -> dict[str, Any]:
    return {
        "type": type_of(code),
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **({"errors": errors} if errors is not None else {}),
        **({"next": steps} if steps else {}),
    }


def _about() -> dict[str, str]:
    """The ids in the request's path, and the concert in its body."""
    if not has_request_context():
        return {}
    body = request.get_json(silent=True)
    concert_id = body.get("concert_id") if isinstance(body, dict) else None
    named = {"concert_id": concert_id} if isinstance(concert_id, str) else {}
    return {name: quote(value, safe="") for name, value in {**named, **(request.view_args or {})}.items()}


class ProblemApi(Api):
    """flask-smorest, answering every error of HTTP itself in our form too."""

    #: Which refusals a route has, gateway.openapi says of each.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        status = error.code or 500
        code = _http_code(status)
        messages = (getattr(error, "data", None) or {}).get("messages")
        if status == HTTPStatus.UNPROCESSABLE_ENTITY and messages:
            return problem(status, code, HTTP_MEANINGS[422], _by_field(messages))
        answer = problem(status, code, HTTP_MEANINGS.get(status) or error.description or HTTPStatus(status).phrase)
        if error.get_response().headers.get("Allow"):
            answer.headers["Allow"] = error.get_response().headers["Allow"]
        return answer


def register(app: Flask) -> None:
    """Answer the errors of TABLE, and a mistake of ours, as problems."""
    for error in TABLE:
        app.register_error_handler(error, refuse)
    app.register_error_handler(RemoteError, _apologise)


def refuse(error: Exception) -> Response:
    """The answer to a request that is refused with *error*, one of TABLE."""
    kind = next(cls for cls in type(error).__mro__ if cls in TABLE)
    status, code = TABLE[kind]
    if code == "unavailable":
        return problem(status, code, _meaning(Unavailable))
    answer = problem(status, code, _meaning(kind), _by_item(error) or _by_name(error))
    if isinstance(error, WAITS):
        answer.headers["Retry-After"] = str(error.args[0])
    return answer


def _by_name(error: Exception) -> dict[str, list[str]] | None:
    """What is wrong with which field, where only the service could tell."""
    if isinstance(error, auth.WeakPassword) and len(error.args) == 2:
        field, weakness = error.args
        return {field: [WEAKNESSES[weakness]]}
    if isinstance(error, auth.InvalidToken):
        return {"token": [_meaning(auth.InvalidToken)]}
    if isinstance(error, concert.InvalidConcert) and len(error.args) == 2:
        return {error.args[0]: [error.args[1]]}
    if isinstance(error, concert.CapacityBelowSold) and len(error.args) == 2:
        return {"ticket_types": ["Of {} {} tickets are sold or held.".format(*error.args)]}
    if isinstance(error, booking.LimitReached) and len(error.args) == 2:
        return {"items": ["At most {} tickets per person; you have {}, held ones among them.".format(*error.args)]}
    if isinstance(error, concert.WrongState) and len(error.args) == 1:
        return {"status": ["It is {}.".format(*error.args)]}
    if isinstance(error, concert.SeatsTaken):
        return {"ticket_types": [f"{seat} is sold or held." for seat in error.args]}
    return {"starts_at": [_meaning(concert.StartsTooSoon)]} if isinstance(error, concert.StartsTooSoon) else None


def _by_item(error: Exception) -> dict[str, list[str]] | None:
    """What is wrong with which item of a request for tickets: the error's arguments name it."""
    text = next((text for kind, text in ITEM_ERRORS.items() if isinstance(error, kind)), None)
    return {"items": [text.format(what) for what in error.args]} if text and error.args else None


def _apologise(error: Exception) -> Response:
    log.error("%s (request %s)", error, g.get("request_id"))
    return problem(500, "internal", HTTP_MEANINGS[500])


def _by_field(messages: dict[str, Any]) -> dict[str, Any]:
    """webargs' messages without the place they were in: {"json": {"title": [...]}} -> {"title": [...]}."""
    return {field: text for place in messages.values() for field, text in _fields(place)}


def _fields(place: Any) -> list[tuple[str, Any]]:
    return list(place.items()) if isinstance(place, dict) else [("body", place)]
