"""What is measured: requests of one kind, and the answer that each is to get. What sells has concerts of its own."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.crowd import Crowd
from bench.programme import GENERAL, PASSWORD, RESERVED, Programme
from bench.wrk import Load, Target


class Scenario(NamedTuple):
    name: str
    expected: str  #: the answer, as `Answers.counted` calls it
    load: Load
    most: int = 1000  #: connections; with more of them it is meant to turn requests away
    alone: bool = False  #: relay and mailer rest meanwhile


ECHO, BOOKINGS = "echo", "bookings"


def _echo(crowd: Crowd, programme: Programme) -> Scenario:
    """The path that does nothing: token, session, rate limit, one RPC, one read by an index."""
    return Scenario(ECHO, "200", Load("GET", [Target("/v1/me")], crowd.tokens))


def _bookings(crowd: Crowd, programme: Programme) -> Scenario:
    """One standing place each, written to MongoDB before the answer."""
    return bookings(crowd, [programme.concert()])


def _bookings_alone(crowd: Crowd, programme: Programme) -> Scenario:
    """The same, up to the answer: events and mails come afterwards."""
    return bookings(crowd, [programme.concert()])._replace(name="bookings-alone", alone=True)


def bookings(crowd: Crowd, concerts: Sequence[str]) -> Scenario:
    """Bookings of one standing place each, of the *concerts* in turn."""
    return Scenario(BOOKINGS, "201", _book(crowd, concerts))


def _holds(crowd: Crowd, programme: Programme) -> Scenario:
    """One standing place each."""
    return Scenario("holds", "201", _hold(crowd, programme.concert()))


def _seats(crowd: Crowd, programme: Programme) -> Scenario:
    """Holds of one seat each, by name."""
    concert_id, seats = programme.seated()
    targets = [Target("/v1/holds", _wanted(concert_id, RESERVED, seats=[seat])) for seat in seats]
    return Scenario("seats", "201", Load("POST", targets, crowd.tokens))


def _sold_out(crowd: Crowd, programme: Programme) -> Scenario:
    """Holds that are refused since nothing is left."""
    return Scenario("sold-out", "sold_out", _hold(crowd, _empty(crowd, programme)))


def _sold_out_to_book(crowd: Crowd, programme: Programme) -> Scenario:
    """Bookings that are refused since nothing is left."""
    return Scenario("sold-out-bookings", "sold_out", _book(crowd, [_empty(crowd, programme)]))


def _closed(crowd: Crowd, programme: Programme) -> Scenario:
    """Holds that are refused since sales have closed."""
    return Scenario("closed", "sales_closed", _hold(crowd, programme.closed()))


def _concert(crowd: Crowd, programme: Programme) -> Scenario:
    """Reads of one concert, without a token."""
    return Scenario("concert", "200", Load("GET", [Target(f"/v1/concerts/{programme.concert()}")]))


def _search(crowd: Crowd, programme: Programme) -> Scenario:
    """Reads of the list of concerts, without a token."""
    return Scenario("search", "200", Load("GET", [Target("/v1/concerts")]))


def _logins(crowd: Crowd, programme: Programme) -> Scenario:
    """Passwords verified by argon2id, a few at a time."""
    bodies = [json.dumps({"email": email, "password": PASSWORD}) for email in crowd.emails]
    return Scenario("logins", "200", Load("POST", [Target("/v1/auth/login", body) for body in bodies]), 8)


#: How each is made, in the order in which they are measured.
SCENARIOS: Mapping[str, Callable[[Crowd, Programme], Scenario]] = {
    ECHO: _echo,
    BOOKINGS: _bookings,
    "bookings-alone": _bookings_alone,
    "holds": _holds,
    "seats": _seats,
    "sold-out": _sold_out,
    "closed": _closed,
    "sold-out-bookings": _sold_out_to_book,
    "concert": _concert,
    "search": _search,
    "logins": _logins,
}


def _empty(crowd: Crowd, programme: Programme) -> str:
    """A concert that is sold out."""
    concert_id = programme.concert(capacity=1)
    programme.sell(concert_id, crowd.tokens[0])
    return concert_id


def _hold(crowd: Crowd, concert_id: str) -> Load:
    return Load("POST", [Target("/v1/holds", _wanted(concert_id, GENERAL, quantity=1))], crowd.tokens)


def _book(crowd: Crowd, concerts: Sequence[str]) -> Load:
    targets = [Target("/v1/bookings", _wanted(concert_id, GENERAL, quantity=1)) for concert_id in concerts]
    return Load("POST", targets, crowd.tokens, keys=True)


def _wanted(concert_id: str, code: str, **what: Any) -> str:
    return json.dumps({"concert_id": concert_id, "items": [{"ticket_type": code, **what}]})
