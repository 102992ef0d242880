"""
Buyers at work: they book, hold, cancel, read, log out, each request insisted on as a good client does.

Beside what is on sale for long there is always a concert whose sales close soon, so that sales close in the middle of
whatever happens.
"""

import itertools
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx

from tests.chaos.history import PATIENCE, Ask, Asked, History, of_body
from tests.e2e.api_client import PASSWORD, Box, Person, starts_in
from tests.e2e.test_kills import dead_letters

#: Places in the field, which never sells out, and in the club, which has sold out soon, and again after each cancel.
FIELD, CLUB = 100_000, 25
#: Seconds between the closes of sales of two concerts.
EVERY = 40
#: Times that a request without a certain answer is sent again with the same key.
INSISTING = 40


class Load:
    """
    *threads* buyers' clients, each with people of its own; *seed* says what they do.

    The sales of so many concerts close, one after the other (*closing*).
    """

    def __init__(self, box: Box, history: History, seed: int, closing: int, threads: int = 4, people: int = 4) -> None:
        self.box, self.history = box, history
        self.parked_before = dead_letters(box)
        organiser = box.organiser()
        self.field = box.on_sale(organiser, FIELD, max_tickets_per_user=100)["id"]
        self.club = box.on_sale(organiser, CLUB, max_tickets_per_user=100)["id"]
        self.tonight = [
            box.on_sale(organiser, FIELD, max_tickets_per_user=100, starts_at=starts_in(seconds=EVERY * (1 + number)))
            for number in range(closing)
        ]
        self.people = [[box.register() for _ in range(people)] for _ in range(threads)]
        self._logged_in = {person.id: time.monotonic() for person in self.everybody}
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
                    [
                        *(self._book, self._book_in_the_club, self._book_tonight, self._hold_and_book),
                        *(self._cancel, self._read, self._log_out),
                    ],
                    [35, 20, 15, 10, 10, 8, 2],
                )[0]
                deed(person, mine, chance)

    def _insist(self, what: str, person: Person, ask: Ask, key: str | None = None, subject: str | None = None) -> Asked:
        for _ in range(INSISTING):
            asked = self._ask(what, person, ask, key, subject)
            if asked.outcome != "unknown" and asked.status != 401:
                break
            time.sleep(0.2)
        return asked

    def _ask(self, what: str, person: Person, ask: Ask, key: str | None = None, subject: str | None = None) -> Asked:
        """Whoever's token is refused logs in again. When that may be, the checker says."""
        asked = self.history.note(what, person.id, ask, key, subject, self._logged_in[person.id])
        if asked.status == 401:
            login = self._log_in(person)
            if login.outcome == "ok":
                person.access_token, self._logged_in[person.id] = of_body(login, "access_token"), login.sent
        return asked

    def _log_in(self, person: Person) -> Asked:
        body = {"email": person.user["email"], "password": PASSWORD}
        return self.history.note("log in", person.id, lambda: person.api.post("/v1/auth/login", json=body))

    def _book(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        self._book_at(self.field, person, mine, chance)

    def _book_in_the_club(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        self._book_at(self.club, person, mine, chance)

    def _book_tonight(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        """What closes next, and still a little afterwards."""
        now = datetime.now(UTC) - timedelta(seconds=EVERY / 5)
        soon = [concert for concert in self.tonight if datetime.fromisoformat(concert["sales_close_at"]) > now]
        self._book_at(soon[0]["id"] if soon else self.field, person, mine, chance)

    def _book_at(self, concert_id: str, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        key, quantity = str(uuid.uuid4()), chance.choice((1, 1, 2))
        asked = self._insist("book", person, lambda: person.book(concert_id, quantity, key=key), key, concert_id)
        self._keep(asked, person, mine)

    def _hold_and_book(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        where = chance.choice((self.field, self.club))
        held = self._ask("hold", person, lambda: person.hold(where))
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
        self._ask("read", person, lambda: person.get(path))

    def _log_out(self, person: Person, mine: list[tuple[Person, str]], chance: random.Random) -> None:
        """With a session of its own; its token is worth nothing afterwards."""
        login = self._log_in(person)
        if login.outcome != "ok":
            return
        token = of_body(login, "access_token")
        headers = {"Authorization": f"Bearer {token}"}
        for _ in range(INSISTING):
            out = self.history.note("log out", person.id, lambda: person.api.post("/v1/auth/logout", headers=headers))
            if out.outcome != "unknown":
                break
            time.sleep(0.2)
        if out.outcome == "ok":
            for _ in range(2):
                self.history.note("after logout", person.id, lambda: person.api.get("/v1/me", headers=headers))
