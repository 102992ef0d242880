"""A backup as the operations guide says, and the platform on it: as it was then, and as good as new."""

import re
import subprocess
from pathlib import Path

import pytest

from local.settings import ROOT
from tests import local_stack
from tests.e2e.api_client import Box, Person, problem
from tests.polling import poll

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def recipe(begins: str) -> str:
    """The block of the guide that begins with this line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL | re.MULTILINE)
    [block] = [block for block in blocks if block.startswith(begins)]
    return str(block)


def is_mailed(buyer: Person, booking_id: str) -> bool:
    return bool(buyer.get(f"/v1/bookings/{booking_id}").json()["confirmation_mail"]["state"] == "sent")


def test_platform_is_as_it_was_when_its_files_were_saved(tmp_path: Path) -> None:
    def follow(block: str) -> None:
        subprocess.run(["sh", "-euc", block], cwd=tmp_path, check=True, timeout=60)

    stack = local_stack.start(tmp_path / ".data")
    try:
        box = Box(stack)
        organiser, buyer = box.organiser(), box.register()
        concert = box.on_sale(organiser, capacity=10)["id"]
        kept, cancelled = (buyer.book(concert, 2).json()["id"] for _ in range(2))
        assert buyer.post(f"/v1/bookings/{cancelled}/cancel").status_code == 200
        poll(lambda: is_mailed(buyer, kept), seconds=20)
        stack.stop()
        follow(recipe("tar -C .data -czf"))

        stack = local_stack.start(tmp_path / ".data")
        box = Box(stack)
        buyer = box.login(buyer.user["email"])
        late = buyer.book(concert, 8, key="late").json()
        assert box.available(concert) == 0
        stack.stop()

        begin, unpack, run = recipe("mkdir /srv/tickets").splitlines()
        assert run == "make run DATA_DIR=/srv/tickets"
        follow(f"{begin}\n{unpack}".replace("/srv/tickets", "restored"))
        stack = local_stack.start(tmp_path / "restored")
        box = Box(stack)
        assert problem(box.http.get("/v1/me", headers=buyer.authorization)) == (401, "session_ended")
        buyer = box.login(buyer.user["email"])
        listed = {b["id"]: b["status"] for b in buyer.get("/v1/bookings").json()["items"]}
        assert listed == {kept: "confirmed", cancelled: "cancelled"}
        assert box.available(concert) == 8, "what was sold later is not sold any more"
        again = buyer.book(concert, 8, key="late").json()
        assert again["id"] == late["id"], "the same request is the same booking"
        assert problem(buyer.book(concert)) == (409, "sold_out")
        poll(lambda: is_mailed(buyer, again["id"]), seconds=20)
        assert box.organiser().get("/v1/concerts/mine").status_code == 200, "the admin's password is the same"
        stack.must_be_sound()
        stack.stop()
    finally:
        stack.kill()
