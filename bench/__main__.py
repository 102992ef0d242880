"""`python -m bench`: what `make bench` runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from bench.run import PARTS, Plan, Run
from bench.scenarios import SCENARIOS
from bench.stack import NoStack
from bench.wrk import LoadFailed


def _some_of(known: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    def read(_: click.Context, __: click.Parameter, value: str) -> list[str]:
        names = value.split(",")
        if unknown := [name for name in names if name not in known]:
            raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return names

    return read


def _numbers(_: click.Context, __: click.Parameter, value: str) -> list[int]:
    if not all(number.isdigit() and int(number) for number in value.split(",")):
        raise click.BadParameter("whole numbers, with commas between")
    return [int(number) for number in value.split(",")]


@click.command(context_settings={"show_default": True})
@click.option(
    "--parts", default=",".join(PARTS), callback=_some_of(PARTS), help="What is measured; the soak only with --long."
)
@click.option("--only", default=",".join(SCENARIOS), callback=_some_of([*SCENARIOS]), help="Scenarios of the table.")
@click.option("--connections", default="64,1,16,256", callback=_numbers, help="Of the table.")
@click.option("--seconds", default=2, type=click.IntRange(1), help="That each measurement takes.")
@click.option("--rounds", default=1, type=click.IntRange(1), help="How often the table is gone through, for means.")
@click.option("--long", is_flag=True, help="Also larger sizes of what grows, and ten minutes of bookings on end.")
@click.option("--profile", help="A process, as make ps calls it: flame graphs of it, one for each scenario.")
@click.option("--out", default=".bench", type=click.Path(path_type=Path), help="Where results are written.")
def main(**options: object) -> None:
    """
    Measure the platform on a stack of its own, over loopback.

    All is as durable, and as strictly checked, as ever. Requests are counted for the rate limits, but these are so
    high that none is reached. Mailer and relay work at the lowest priority, since nobody waits for them; what they
    cost is told apart.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stack is stopped and deleted then, too
    try:
        is_sound = Run(Plan(**options)).all()  # type: ignore[arg-type]  # click has checked them
    except (NoStack, LoadFailed) as failed:
        print(failed, file=sys.stderr)
        sys.exit(2)
    sys.exit(0 if is_sound else 1)


if __name__ == "__main__":
    main()
