"""What a run has shown, for people."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from tests.chaos.checker import INVARIANTS, Breach, Facts
from tests.chaos.history import counted
from tests.chaos.nemesis import Struck


@dataclass(frozen=True)
class Run:
    struck: list[Struck]
    facts: Facts
    breaches: list[Breach]


def rows(run: Run) -> Iterator[str]:
    """A table: a row for each kind of fault."""
    by_name: dict[str, list[Struck]] = defaultdict(list)
    for struck in run.struck:
        by_name[struck.fault.name].append(struck)
    yield "| fault | times | lasted | first booking after: median, longest | longest request | without an answer |"
    yield "|---|---|---|---|---|---|"
    for name, struck_so in sorted(by_name.items()):
        recoveries = [one.recovery for one in struck_so]
        longest = max((one.longest for one in struck_so), key=lambda asked: asked.took)
        lasted, failed = median(one.lasted for one in struck_so), sum(one.failed for one in struck_so)
        yield (
            f"| {name} | {len(struck_so)} | {lasted:.1f} s | {median(recoveries):.1f} s, {max(recoveries):.1f} s "
            f"| {longest.took:.1f} s: {longest.what}, {longest.status or 'no answer'} | {failed} |"
        )


def summary(run: Run) -> str:
    """What was asked, what stands, what does not hold."""
    facts, outcomes = run.facts, counted(run.facts.asked)
    confirmed = sum(booking["status"] == "confirmed" for booking in facts.bookings)
    copies = sum(times - 1 for times in facts.mails.values())
    lines = [
        f"{len(facts.asked)} requests: {outcomes['ok']} done, {outcomes['failed']} refused, "
        f"{outcomes['unknown']} without a certain answer.",
        f"{len(facts.bookings)} bookings, {confirmed} of them confirmed; {sum(facts.mails.values())} mails, "
        f"{copies} of them copies.",
    ]
    for invariant, sentence in INVARIANTS.items():
        found = [breach.what for breach in run.breaches if breach.invariant == invariant]
        lines.append(f"{'BREACH' if found else 'ok':6}  {sentence}")
        lines += [f"          {what}" for what in found[:20]]
    return "\n".join(lines)
