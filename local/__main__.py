"""`python -m local run | ps | shell | audit`; what each needs to know it reads from the environment."""

from __future__ import annotations

import argparse
import sys

from local.signals import StopSignals


def main() -> int:
    """Do what the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description="The stack on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything, stop it on Ctrl-C or SIGTERM")
    run.add_argument("--under-make", action="store_true", help="stop also when the make that called this does")
    commands.add_parser("ps", help="list the processes of the running stack")
    commands.add_parser("shell", help="nameko shell on the running stack")
    commands.add_parser("audit", help="check the invariants of the running stack")
    arguments = parser.parse_args()

    # Before the imports that take their time: a signal from now on means an orderly stop.
    signals = StopSignals() if arguments.command == "run" else None

    from local import console, operator, stack
    from local.settings import Settings, StackFailed

    console.accept_any_text()
    try:
        settings = Settings.read()
        if signals:
            if arguments.under_make:
                signals.follow_make()
            stack.run(settings, signals)
        else:
            {"ps": operator.ps, "shell": operator.shell, "audit": operator.audit}[arguments.command](settings)
    except StackFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
