"""
`python -m tests.chaos`: a stack of its own under load, struck again and again; then all that was told is checked.

Bounded by the number of faults, and the same for the same seed as far as threads and a machine can be. Prints a table
in Markdown. Exit code 1: something that must hold did not.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.chaos.report import Run, rows, summary
from tests.chaos.rigging import rigged
from tests.chaos.run import run


@click.command()
@click.option("--faults", default=100, show_default=True, help="How many there are.")
@click.option("--seed", default=1, show_default=True, help="Decides which, and what buyers do.")
@click.option("--only", default="", help="Those whose name has one of these in it: kill,mongod")
@click.option("--keep", is_flag=True, help="Leave the data, and the logs, where they are.")
def main(faults: int, seed: int, only: str, keep: bool) -> None:
    """Strike a stack of our own under load, and check what became of it."""
    folder, began = Path(tempfile.mkdtemp(prefix="chaos-")), time.monotonic()
    with (
        rigged(folder / "data", with_clocks=True) as rigging,
        click.progressbar(length=faults, label=f"Seed {seed}", file=sys.stderr) as bar,
    ):
        done: Run = run(
            *(rigging, seed, faults),
            only=lambda fault: any(word in fault.name for word in only.split(",")),
            told=lambda struck: bar.update(1, struck.fault.name),
        )
    click.echo("\n".join(rows(done)))
    click.echo(f"\n{summary(done)}\n{faults} faults in {time.monotonic() - began:.0f} s, seed {seed}.")
    if done.breaches or keep:
        click.echo(f"Data and logs: {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(1 if done.breaches else 0)


if __name__ == "__main__":
    main()
