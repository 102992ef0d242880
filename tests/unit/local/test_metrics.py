"""Every process that counts has a port of its own, and Prometheus can find it."""

import json
from pathlib import Path

from local import metrics
from local.programs import Program

PORTS = {metrics.port_name(process): 20_000 + number for number, process in enumerate(metrics.processes(2))}


def test_each_process_of_a_service_has_a_port_of_its_own() -> None:
    programs = [Program("booking_svc", ["b"], copies=2), Program("relay", ["r"]), Program("gateway", ["g"])]
    booking, relay, gateway = metrics.with_ports(programs, PORTS)
    assert booking.each == ({"METRICS_PORT": "20002"}, {"METRICS_PORT": "20003"})
    assert relay.each == ({"METRICS_PORT": "20005"},)
    assert gateway.each == ({},)


def test_prometheus_is_told_of_all_of_them(tmp_path: Path) -> None:
    metrics.write_targets(tmp_path / "metrics.json", {**PORTS, "redis": 30_000})
    told = json.loads((tmp_path / "metrics.json").read_text())
    assert {one["labels"]["process"]: one["targets"] for one in told} == {
        process: [f"127.0.0.1:{PORTS[metrics.port_name(process)]}"] for process in metrics.processes(2)
    }
