"""What `make bench` prints."""

import pytest

from bench import report
from bench.measure import Measured, together


def measured(scenario: str, rate: float, **others: int) -> Measured:
    cpu = {"gateway": 0.5, "rabbitmq": 0.2, "epmd": 0.1, "mailer_svc": 3.0, "wrk": 0.05}
    return Measured(scenario, 64, 2.0, rate, p50=10.0, p99=40.0, cpu=cpu, others=others)


def test_a_row_shows_the_rate_its_ratio_to_echo_and_cpu_by_program() -> None:
    name, figures = report.row(measured("bookings", 450).compared(measured("echo", 900))).split("bookings")
    assert name == ""
    assert figures.split() == [
        *("450", "0.50", "10.0", "40.0", "0.80", "="),
        *("0.50", "0.30", "0.00", "0.00", "0.00", "0.00", "0.00", "0.00", "0.00", "3.00", "0.05"),
    ]


def test_what_nobody_waits_for_is_not_part_of_a_requests_cost() -> None:
    assert measured("bookings", 450).cpu_in_all == pytest.approx(0.5 + 0.2 + 0.1)


def test_answers_that_were_not_as_expected_are_told() -> None:
    row = report.row(measured("logins", 20, unavailable=3, broken=1))
    assert row.endswith("but 1 x broken, 3 x unavailable")


def test_a_document_has_a_table_for_each_title() -> None:
    echo, bookings = measured("echo", 900), measured("bookings", 450)
    told = report.document({"64 connections": [echo, bookings.compared(echo)]}).splitlines()
    assert told[0] == "### 64 connections"
    assert told[-1].startswith("| bookings | 450 | 0.50 | 10.0 | 40 | 0.80 | 0.50 | 0.30 |")
    assert len({line.count("|") for line in told if line.startswith("|")}) == 1


def test_columns_stand_below_their_headings() -> None:
    row = report.row(measured("a scenario", 99_999).compared(measured("echo", 99_999)))
    assert len(row) == len(report.HEADER)


def test_several_rounds_are_one_by_their_means_and_the_slowest_of_them() -> None:
    first, second = measured("echo", 100, broken=1), measured("echo", 300)
    mean = together([first, second])
    assert (mean.rate, mean.seconds, mean.others) == (200, 4.0, {"broken": 1})
    assert mean.cpu == first.cpu
