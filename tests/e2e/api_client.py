"""What a client of the API says, in the words of the product. Each test makes its own users and concerts."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.e2e.promises import Promises

PASSWORD = "correct horse battery staple"


class Person:
    """A signed-in user of the API at *api*."""

    def __init__(self, api: httpx.Client, tokens: Mapping[str, Any]) -> None:
        self.api = api
        self.user = tokens["user"]
        self.access_token = tokens["access_token"]
        self.refresh_token = tokens["refresh_token"]

    @property
    def id(self) -> str:
        return str(self.user["id"])

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.api.get(path, headers=self.authorization, **kwargs)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        # Not httpx's own JSON: it cannot write a lone surrogate, which a client may well send.
        content = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.authorization, **(headers or {})}
        return self.api.post(path, content=content, headers=sent)

    def patch(self, path: str, body: Any) -> httpx.Response:
        return self.api.patch(path, json=body, headers=self.authorization)

    def delete(self, path: str) -> httpx.Response:
        return self.api.delete(path, headers=self.authorization)

    def hold(self, concert_id: str, quantity: int = 1, code: str = "standing") -> httpx.Response:
        """Ask for *quantity* tickets to be kept."""
        body = {"concert_id": concert_id, "items": [{"ticket_type": code, "quantity": quantity}]}
        return self.post("/v1/holds", body)

    def book(
        self, concert_id: str, quantity: int = 1, code: str = "standing", key: str | None = None
    ) -> httpx.Response:
        """Ask for *quantity* tickets; a new Idempotency-Key unless one is given."""
        body = {"concert_id": concert_id, "items": [{"ticket_type": code, "quantity": quantity}]}
        return self.post("/v1/bookings", body, {"Idempotency-Key": key or str(uuid.uuid4())})


class Box:
    """The platform behind one address."""

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.promises = Promises(stack.api_url)
        self.http = httpx.Client(base_url=stack.api_url, timeout=10, event_hooks={"response": [self.promises.check]})

    def register(self, name: str = "Ada Lovelace", email: str | None = None) -> Person:
        body = {"email": email or f"{uuid.uuid4().hex}@example.org", "password": PASSWORD, "name": name}
        answer = self.http.post("/v1/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        return Person(self.http, answer.json())

    def login(self, email: str, password: str = PASSWORD) -> Person:
        answer = self.http.post("/v1/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return Person(self.http, answer.json())

    def logs_in(self, person: Person) -> bool:
        """Beside very many requests at once a login may be put off by a 503, as all else may."""
        answer = self.http.post("/v1/auth/login", json={"email": person.user["email"], "password": PASSWORD})
        assert answer.status_code in (200, 503), answer.text
        return answer.status_code == 200

    def admin(self) -> Person:
        return self.login(self.stack.admin_email, self.stack.admin_password)

    def organiser(self) -> Person:
        person = self.register("Olga Organ")
        admin = self.admin()
        answer = self.http.put(
            f"/v1/users/{person.id}/roles", json={"roles": ["customer", "organiser"]}, headers=admin.authorization
        )
        assert answer.status_code == 200, answer.text
        return self.login(person.user["email"])

    def concert(self, organiser: Person, capacity: int = 100, **changes: Any) -> dict[str, Any]:
        """A new draft; *changes* are fields of its body."""
        answer = organiser.post("/v1/concerts", concert_body(capacity, **changes))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def on_sale(self, organiser: Person, capacity: int = 100, **changes: Any) -> dict[str, Any]:
        """A concert that anyone can book."""
        draft = self.concert(organiser, capacity, **changes)
        answer = organiser.post(f"/v1/concerts/{draft['id']}/publish")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def available(self, concert_id: str, code: str = "standing") -> int:
        types = self.http.get(f"/v1/concerts/{concert_id}/availability").json()["ticket_types"]
        return next(int(t["available"]) for t in types if t["code"] == code)


def insist(buyer: Person, concert_id: str) -> httpx.Response:
    """Book as a good client does: a 503 on a busy machine is answered with the same request again."""
    key = str(uuid.uuid4())
    for _ in range(30):
        answer = buyer.book(concert_id, key=key)
        if answer.status_code != 503 and "request_in_progress" not in answer.text:
            break
        time.sleep(int(answer.headers["Retry-After"]))
    return answer


def starts_in(**distance: float) -> str:
    return (datetime.now(UTC) + timedelta(**distance)).isoformat()


def concert_body(capacity: int = 100, **changes: Any) -> dict[str, Any]:
    body = {
        "title": "Night of the Organs",
        "performers": ["The Pipes"],
        "venue": {"name": "Konzerthaus", "city": "Berlin", "country": "DE", "timezone": "Europe/Berlin"},
        "starts_at": starts_in(days=30),
        "ticket_types": [
            {
                "code": "standing",
                "name": "Standing",
                "price": {"amount": 4500, "currency": "EUR"},
                "capacity": capacity,
            }
        ],
    }
    return {**body, **changes}


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that must be a problem document."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["X-Request-ID"]
    return answer.status_code, body["code"]


def shell(stack: Any, line: str) -> str:
    """What *line* prints in the operators' `nameko shell`."""
    environment = {**os.environ, "DATA_DIR": str(stack.data_dir)}
    done = subprocess.run(
        ["make", "-s", "shell"], input=line + "\n", env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
