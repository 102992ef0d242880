"""
How many mails a mailer process sends in a second, and what one costs: `python -m bench.mails [NUMBER]`.

It needs a running stack (`make run`, with DATA_DIR if it is not .data). One buyer books; the confirmation is then
entered in the ledger as often as asked, each a mail of its own kind, and the mailer sends them to where mail goes here.
"""

import sys
import time
import uuid
from datetime import UTC, datetime
from os import environ, sysconf
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from local import data_dir, private_files
from mailer_svc.ledger import Ledger, Request
from rabbitmq import database

TICKETS = 2
#: Seconds after which something is wrong.
PATIENCE = 600


class Measured(NamedTuple):
    mails: int
    seconds: float
    cpu: float  #: seconds of the mailer's process

    def __str__(self) -> str:
        a_second, each = self.mails / self.seconds, self.cpu / self.mails * 1000
        return f"{self.mails} mails with {TICKETS} tickets: {a_second:.1f} a second, {each:.0f} ms of CPU a mail"


def measure(facts: dict[str, str], number: int) -> Measured:
    """Send *number* mails through the mailer of the stack that *facts* describe."""
    user_id, booking = _book(facts)
    ledger = Ledger(database.connect(facts["MONGO_URI"], "mailer_svc"), "example.org")
    began, cpu = time.monotonic(), _cpu_seconds(facts["DATA_DIR"])
    run = uuid.uuid4().hex[:8]
    for n in range(number):
        kind = f"bench-{run}-{n}"
        # Of no booking, as far as the ledger knows: it waits for no other mail.
        wanted = Request(booking["id"], kind, "booking_confirmed", user_id, {"booking": booking}, datetime.now(UTC))
        ledger.enter(wanted, datetime.now(UTC))
    while ledger.backlog().mails:
        if time.monotonic() > began + PATIENCE:
            raise TimeoutError(f"{ledger.backlog().mails} mails are left after {PATIENCE} s")
        time.sleep(0.1)
    return Measured(number, time.monotonic() - began, _cpu_seconds(facts["DATA_DIR"]) - cpu)


def _book(facts: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """A buyer's id, and a booking of theirs."""
    with httpx.Client(base_url=facts["API_URL"], timeout=10) as http:
        admin = _login(http, facts["ADMIN_EMAIL"], facts["ADMIN_PASSWORD"])
        organiser = http.post("/v1/auth/register", json=_person()).raise_for_status().json()["user"]
        roles = {"roles": ["customer", "organiser"]}
        http.put(f"/v1/users/{organiser['id']}/roles", json=roles, headers=admin).raise_for_status()
        olga = _login(http, organiser["email"], _person()["password"])
        draft = http.post("/v1/concerts", json=_concert(), headers=olga).raise_for_status().json()
        http.post(f"/v1/concerts/{draft['id']}/publish", headers=olga).raise_for_status()
        buyer = http.post("/v1/auth/register", json=_person()).raise_for_status().json()
        headers = {"Authorization": f"Bearer {buyer['access_token']}", "Idempotency-Key": uuid.uuid4().hex}
        body = {"concert_id": draft["id"], "items": [{"ticket_type": "standing", "quantity": TICKETS}]}
        booking = http.post("/v1/bookings", json=body, headers=headers).raise_for_status().json()
        return str(buyer["user"]["id"]), dict(booking)


def _login(http: httpx.Client, email: str, password: str) -> dict[str, str]:
    answer = http.post("/v1/auth/login", json={"email": email, "password": password}).raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def _person() -> dict[str, str]:
    return {"email": f"{uuid.uuid4().hex}@example.org", "password": "correct horse battery staple", "name": "Ada"}


def _concert() -> dict[str, Any]:
    return {
        "title": "Night of the Organs",
        "performers": ["The Pipes"],
        "venue": {"name": "Konzerthaus", "city": "Berlin", "country": "DE", "timezone": "Europe/Berlin"},
        "starts_at": "2030-12-01T19:00:00Z",
        "ticket_types": [
            {"code": "standing", "name": "Standing", "price": {"amount": 4500, "currency": "EUR"}, "capacity": 100}
        ],
    }


def _cpu_seconds(folder: str) -> float:
    """What the mailers of the stack have computed so far, by the kernel's account."""
    return sum(_cpu_of(process) for process in Path("/proc").glob("[0-9]*") if _is_mailer(process, folder))


def _is_mailer(process: Path, folder: str) -> bool:
    try:
        command = (process / "cmdline").read_bytes()
        return (
            b"mailer_svc.service" in command and f"DATA_DIR={folder}\0".encode() in (process / "environ").read_bytes()
        )
    except OSError:
        return False


def _cpu_of(process: Path) -> float:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    folder = Path(environ.get("DATA_DIR", ".data")).resolve()
    print(measure(private_files.read_values(data_dir.runtime_file(folder)), int((sys.argv[1:] or ["200"])[0])))
