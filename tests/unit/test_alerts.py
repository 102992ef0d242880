"""The alert rules ask for metrics that there are, and for all that the operations guide wants watched."""

import re
from typing import Any

import pytest
import yaml

from local.settings import ROOT

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
#: The guide's table: the metrics of each row, and when it says to alert.
ROWS: list[tuple[set[str], str]] = [
    (set(re.findall(r"`([a-z_]+)", row[0])), row[2].strip(" |"))
    for line in (ROOT / "docs" / "operations.md")
    .read_text()
    .partition("| metric | of | alert when |")[2]
    .partition("\n\n")[0]
    .splitlines()
    if line.startswith("| `") and (row := line.split(" | "))
]
KNOWN = set().union(*(names for names, _ in ROWS))


def metrics_of(rule: dict[str, Any]) -> set[str]:
    """What is asked for: the names before a selector, a range or a comparison."""
    asked = re.sub(r"\{[^}]*\}|by \([^)]*\)", "", rule["expr"])
    names = set(re.findall(r"[a-z]+_[a-z_]+", asked))
    return {re.sub("_count$", "", name) for name in names}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_alert_is_about_metrics_that_there_are_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert metrics_of(rule) and metrics_of(rule) <= KNOWN
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"] and rule["annotations"]["description"]


@pytest.mark.parametrize(("names", "when"), ROWS, ids=[min(names) for names, _ in ROWS])
def test_somebody_is_told_of_what_the_guide_wants_watched(names: set[str], when: str) -> None:
    told = set().union(*map(metrics_of, RULES)) & names
    assert bool(told) == bool(when)
