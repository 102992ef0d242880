"""That `make bench` can measure; how fast it is on the machine of the tests says nothing."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench import report, yardstick
from bench.archive import Archive
from bench.chart import draw
from bench.crowd import Crowd, gather
from bench.measure import measure
from bench.programme import Programme
from bench.results import Results
from bench.scenarios import SCENARIOS
from bench.stack import Stack
from local import data_dir, private_files
from tests.e2e.api_client import Box

BUYERS = 50


@pytest.fixture(scope="module")
def facts(box: Box) -> Mapping[str, str]:
    secrets = private_files.read_values(data_dir.secrets_file(box.stack.data_dir))
    return {**box.stack.values, "JWT_SECRET_KEY": secrets["JWT_SECRET_KEY"]}


@pytest.fixture(scope="module")
def programme(facts: Mapping[str, str]) -> Programme:
    return Programme(facts)


@pytest.fixture(scope="module")
def crowd(facts: Mapping[str, str], programme: Programme) -> Crowd:
    return gather(facts, programme, BUYERS)


def test_a_measurement_tells_rate_and_cpu_and_can_be_drawn(
    facts: Mapping[str, str], programme: Programme, crowd: Crowd, tmp_path: Path
) -> None:
    scenarios = [SCENARIOS[name](crowd, programme) for name in ("echo", "bookings", "sold-out", "search")]
    measured = [measure(Stack(facts), scenario, connections=2, seconds=1) for scenario in scenarios]
    for one in measured:
        assert one.rate > 0, report.row(one)
        assert {"gateway", "rabbitmq", "booking_svc", "mongod", "redis", "wrk"} <= one.cpu.keys()
    draw(Results(report.machine(), table={2: measured}), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_machine_is_measured_by_what_does_nothing(tmp_path: Path) -> None:
    measured = yardstick.measure()
    assert measured.rate > 0 and measured.cpu > 0
    Results(report.machine(), measured).write(tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text())["yardstick"]["rate"] == measured.rate


def test_copies_of_a_booking_are_as_sound_as_it_is(
    box: Box, facts: Mapping[str, str], programme: Programme, crowd: Crowd
) -> None:
    archive = Archive(facts, programme, crowd.tokens[0])
    before = box.available(archive.concert_id)
    archive.store(3)
    assert box.available(archive.concert_id) == before - 3
    box.stack.must_be_sound()
