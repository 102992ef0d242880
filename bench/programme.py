"""What is on sale: an organiser, and their concerts, made by the API."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

PASSWORD = "correct horse battery staple"
#: Tickets per person.
LIMIT = 10
GENERAL, RESERVED = "standing", "balcony"
ROWS, SEATS_PER_ROW = [str(row) for row in range(1, 201)], 100
#: Seconds until the start of a concert that is to be closed as soon as may be; sales end ten seconds before.
SOON = 31
AT_ONCE = 8


class Programme:
    """An organiser of the stack that *facts* describe."""

    def __init__(self, facts: Mapping[str, str]) -> None:
        self._http = httpx.Client(base_url=facts["API_URL"], timeout=30)
        admin = self._login(facts["ADMIN_EMAIL"], facts["ADMIN_PASSWORD"])
        body = {"email": new_address(), "password": PASSWORD, "name": "Olga Organ"}
        user = self._http.post("/v1/auth/register", json=body).raise_for_status().json()["user"]
        roles = {"roles": ["customer", "organiser"]}
        self._http.put(f"/v1/users/{user['id']}/roles", json=roles, headers=admin).raise_for_status()
        self._headers = self._login(body["email"], PASSWORD)

    def concert(self, capacity: int = 100_000, starts_in: timedelta = timedelta(days=30)) -> str:
        """The id of a new concert on sale, with *capacity* standing places."""
        return self._publish([_general(capacity)], starts_in)

    def concerts(self, number: int) -> list[str]:
        """The ids of *number* of them."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda _: self.concert(), range(number)))

    def seated(self) -> tuple[str, list[str]]:
        """A new concert with reserved seats, and their names."""
        seating = {"section": "A", "rows": ROWS, "seats_per_row": SEATS_PER_ROW}
        concert_id = self._publish([{**_type(RESERVED), "seating": [seating]}], timedelta(days=30))
        return concert_id, [f"A-{row}-{seat}" for row in ROWS for seat in range(1, SEATS_PER_ROW + 1)]

    def closed(self) -> str:
        """A new concert whose sales have closed; it takes a while to get there."""
        concert_id = self.concert(starts_in=timedelta(seconds=SOON))
        while self._http.get(f"/v1/concerts/{concert_id}/availability").raise_for_status().json()["sales"]["open"]:
            time.sleep(0.2)
        return concert_id

    def buyer(self) -> tuple[str, str]:
        """The id of a new buyer, and an access token of theirs."""
        body = {"email": new_address(), "password": PASSWORD, "name": "Ada Lovelace"}
        answer = self._http.post("/v1/auth/register", json=body).raise_for_status().json()
        return answer["user"]["id"], answer["access_token"]

    def sell(self, concert_id: str, token: str, quantity: int = 1) -> dict[str, Any]:
        """A booking of standing places, by the buyer with this token."""
        body = {"concert_id": concert_id, "items": [{"ticket_type": GENERAL, "quantity": quantity}]}
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid4().hex}
        return dict(self._http.post("/v1/bookings", json=body, headers=headers).raise_for_status().json())

    def _publish(self, ticket_types: list[dict[str, Any]], starts_in: timedelta) -> str:
        body = {
            "title": "Night of the Organs",
            "performers": ["The Pipes"],
            "venue": {"name": "Konzerthaus", "city": "Berlin", "country": "DE", "timezone": "Europe/Berlin"},
            "starts_at": (datetime.now(UTC) + starts_in).isoformat(),
            "max_tickets_per_user": LIMIT,
            "ticket_types": ticket_types,
        }
        draft = self._http.post("/v1/concerts", json=body, headers=self._headers).raise_for_status().json()
        self._http.post(f"/v1/concerts/{draft['id']}/publish", headers=self._headers).raise_for_status()
        return str(draft["id"])

    def _login(self, email: str, password: str) -> dict[str, str]:
        answer = self._http.post("/v1/auth/login", json={"email": email, "password": password}).raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def new_address() -> str:
    """An e-mail address that nobody has."""
    return f"{uuid4().hex}@example.org"


def _general(capacity: int) -> dict[str, Any]:
    return {**_type(GENERAL), "capacity": capacity}


def _type(code: str) -> dict[str, Any]:
    return {"code": code, "name": code.capitalize(), "price": {"amount": 4500, "currency": "EUR"}}
