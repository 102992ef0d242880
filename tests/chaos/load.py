"""Buyers at work: they book, hold, cancel, read, log out, each request insisted on as a good client does."""

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from tests.chaos.history import PATIENCE, Asked, History, of_body
from tests.e2e.api_client import PASSWORD, Box, Person
from tests.e2e.test_kills import dead_letters

#: Places in the field, which never sells out, and in the club, which has sold out soon, and again after each cancel.
FIELD, CLUB = 100_000, 25
#: Times that a request without a certain answer is sent again with the same key.
INSISTING = 40


class Load:
    """*threads* buyers' clients, each with people of its own; *seed* says what they do."""

    def __init__(self, box: Box, history: History, seed: int, threads: int = 4, people: int = 4) -> None:
        self.box, self.history = box, history
        self.parked_before = dead_letters(box)
        organiser = box.organiser()
        self.field = box.on_sale(organiser, FIELD, max_tickets_per_user=100)["id"]
        self.club = box.on_sale(organiser, CLUB, max_tickets_per_user=100)["id"]
        self.people = [[box.register() for _ in range(people)] for _ in range(threads)]
        self._seeds = [seed * 1000 + number for number in range(threads)]
        self._over = threading.Event()

    @property
    def everybody(self) -> list[Person]:
        return list(itertools.chain(*self.people))

    @contextmanager
    def going_on(self, pause: float) -> Iterator[None]:
        """For the time of the block; *pause* is the time between two requests of a client."""
        threads = [
            threading.Thread(target=self._work, args=[people, random.Random(seed), pause])
            for people, seed in zip(self.people, self._seeds, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _work(self, people: list[Person], chance: random.Random, pause: float) -> None:
        mine: list[tuple[Person, str]] = []  # bookings that stand
        with httpx.Client(base_url=self.box.stack.api_url, timeout=PATIENCE) as http:
            ours = [Person(http, {"user": p.user, "access_token": p.access_token, "refresh_token": ""}) for p in people]
            while not self._over.wait(pause):
                person = chance.choice(ours)
                deed = chance.choices(
                    [self._book, self._book_in_the_club, self._hold_and_book, self._cancel, self._read, self._log_out],
                    [50, 20, 10, 10, 8, 2],
                )[0]
                deed(person, mine, chance)

    def _insist(
        self,
        what: str,
        person: Person,
        ask: Callable[[], httpx.Response],
        key: str | None = None,
        subject: str | None = None,
    ) -> Asked:
        for _ in range(INSISTING):
            asked = self.history.note(what, person.id, ask, key, subject)
            if asked.status == 401:  # the token was too old, or its session was lost with Redis
                person.access_token = of_body(self._log_in(person), "access_token") or person.access_token
            elif asked.outcome != "unknown":
                break
            time.sleep(0.2)
        return asked

    def _log_in(self, person: Person) -> Asked:
        body = {"email": person.user["email"], "password": PASSWORD}
        return self.history.note("log in", person.id, lambda: person.api.post("/v1/auth/login", json=body))

    def _book(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        self._book_at(self.field, person, mine, chance)

    def _book_in_the_club(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        self._book_at(self.club, person, mine, chance)

    def _book_at(self, concert_id: str, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        key, quantity = str(uuid.uuid4()), chance.choice((1, 1, 2))
        asked = self._insist("book", person, lambda: person.book(concert_id, quantity, key=key), key)
        self._keep(asked, person, mine)

    def _hold_and_book(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        held = self.history.note("hold", person.id, lambda: person.hold(chance.choice((self.field, self.club))))
        if held.outcome != "ok":
            return
        key, hold_id = str(uuid.uuid4()), of_body(held, "id")
        headers = {"Idempotency-Key": key}
        asked = self._insist("book", person, lambda: person.post("/v1/bookings", {"hold_id": hold_id}, headers), key)
        self._keep(asked, person, mine)

    def _keep(self, asked: Asked, person: Person, mine: list[tuple[Person, str]]) -> None:
        if asked.outcome == "ok":
            mine.append((person, of_body(asked, "id")))

    def _cancel(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        if mine:
            owner, booking_id = mine.pop(chance.randrange(len(mine)))
            self._insist("cancel", owner, lambda: owner.post(f"/v1/bookings/{booking_id}/cancel"), subject=booking_id)

    def _read(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        path = chance.choice((f"/v1/concerts/{self.club}/availability", "/v1/bookings", "/v1/me", "/v1/concerts"))
        self.history.note("read", person.id, lambda: person.get(path))

    def _log_out(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        """With a session of its own; its token is worth nothing afterwards."""
        login = self._log_in(person)
        if login.outcome != "ok":
            return
        token = of_body(login, "access_token")
        headers = {"Authorization": f"Bearer {token}"}
        out = self._insist("log out", person, lambda: person.api.post("/v1/auth/logout", headers=headers))
        if out.outcome == "ok":
            for _ in range(2):
                self.history.note("after logout", person.id, lambda: person.api.get("/v1/me", headers=headers))
