"""A home for RabbitMQ with the programs and libraries of the installed one, but without its optional plugins."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

#: What starts with this is a plugin that may be enabled, but for one.
PLUGIN, NO_PLUGIN = "rabbitmq_", "rabbitmq_prelaunch"


def make(home: Path, launcher: Path) -> dict[str, str]:
    """
    Make *home*, all links, and return the environment in which *launcher* starts the broker from there.

    Erlang looks for each of the thousand modules that the broker loads in one folder after the other, and the
    configuration's schema is put together from all of them. Without the dozens of folders of plugins that nobody has
    enabled, the broker is up in half the time. Where the installed home looks unfamiliar, or the path of *home* has a
    space or the like, for which RabbitMQ's scripts are not made, the environment is empty and the broker starts as
    always.
    """
    installed = launcher.resolve().parent.parent
    if not list(installed.glob("plugins/rabbit-[0-9]*")) or shlex.quote(str(home)) != str(home):
        return {}
    shutil.rmtree(home, ignore_errors=True)
    for part in ("sbin", "plugins"):
        (home / part).mkdir(parents=True)
        for file in (installed / part).iterdir():
            if not file.name.startswith(PLUGIN) or file.name.startswith(NO_PLUGIN):
                (home / part / file.name).symlink_to(file)
    if (installed / "escript").exists():
        (home / "escript").symlink_to(installed / "escript")
    return {"RABBITMQ_SCRIPTS_DIR": str(home / "sbin"), "RABBITMQ_PLUGINS_DIR": str(home / "plugins")}
