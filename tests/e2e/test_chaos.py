"""A short run of what `make chaos` does: every kind of fault, in random order; and that its checker can see."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.chaos.faults import Fault
from tests.chaos.report import rows, summary
from tests.chaos.rigging import Rigging, rigged
from tests.chaos.run import judged, run, under_fire

#: Each run strikes in the same order; when exactly is chance enough. `make chaos` takes others.
SEED = 10
#: Of the many a few that are over soon; every kind is among them.
SHORT = {
    "kill booking_svc-1",
    "kill a gateway worker",
    "kill mongod",
    "stop in order rabbitmq",
    "lose data redis",
    "repeat events",
    "step down mongod",
    "stand still redis-sessions",
    "cut booking_svc-1 to mongod",
    "stall gateway to rabbitmq",
}


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rigging]:
    """A stack that may be harmed; what others test is not to suffer from it."""
    data_dir = tmp_path_factory.mktemp("harmed") / "data"
    with rigged(data_dir, with_clocks=False) as rigging:
        yield rigging
    shutil.rmtree(data_dir)


@pytest.mark.timeout(600)
def test_faults_under_load_cost_nothing_that_was_promised(own: Rigging, capsys: pytest.CaptureFixture[str]) -> None:
    def is_short(fault: Fault) -> bool:
        return fault.name in SHORT

    done = run(own, SEED, faults=len(SHORT), only=is_short, closing=2)
    with capsys.disabled():
        print("\n  " + ", ".join(f"{one.fault.name} {one.recovery:.1f} s" for one in done.struck))
    assert not done.breaches, "\n".join(rows(done)) + "\n" + summary(done)
    assert {one.fault.name for one in done.struck} == SHORT


@pytest.mark.long
@pytest.mark.timeout(600)
def test_checker_sees_what_is_done_to_the_stores(own: Rigging) -> None:
    """The negative control: without the harm it finds nothing."""
    load, struck = under_fire(own, 1, 4, only=lambda fault: fault.target in ("redis", "relay"), closing=1)
    assert judged(load, struck).breaches == []
    with MongoClient[dict[str, Any]](own.box.stack.mongo_uri) as mongo:
        bookings, ours = mongo["booking_svc"]["bookings"], {"$in": [person.id for person in load.everybody]}
        lost, sold, again, invented = bookings.find(
            {"user_id": ours, "status": "confirmed", "concert_id": load.field}
        ).limit(4)
        bookings.drop_index("one_owner_per_claim")
        bookings.delete_one({"_id": lost["_id"]})
        bookings.update_one({"_id": again["_id"]}, {"$set": {"claims": sold["claims"]}})
        bookings.insert_one({**invented, "_id": "invented", "idempotency_key": "nobody's"})
    mails = [(file, file.read_text(errors="replace")) for file in (Path(own.box.stack.mail_dir) / "new").iterdir()]
    missing, twice = (
        next(file for file, text in mails if f"{booking['_id']}.confirmation" in text) for booking in (sold, again)
    )
    missing.unlink()
    shutil.copy(twice, twice.with_name("copy"))
    found = {breach.invariant for breach in judged(load, struck).breaches}
    assert found >= {"lost", "oversold", "phantom", "mail", "copies", "audit"}
