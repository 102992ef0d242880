"""
`make shell`: nameko's own shell, with `n.rpc` for the services and `broker` for what operators ask of RabbitMQ.

`nameko shell` itself prints the broker's address with the password; this does not. AMQP_URI and MONGO_URI say where.
"""

import os
import sys
from typing import Any
from urllib.parse import urlsplit

from nameko.cli.shell import ShellRunner, make_nameko_helper


def main() -> None:
    """Open the shell; what is typed, or comes on standard input, is carried out."""
    uri = os.environ["AMQP_URI"]
    names: dict[str, Any] = {"n": make_nameko_helper({"AMQP_URI": uri})}
    hints = ["n.rpc.<service>.<method>(...) calls a service."]
    try:
        from rabbitmq import console
    except ModuleNotFoundError:  # a service's image has no pika; there, python -m rabbitmq of the relay's does it
        pass
    else:
        names["broker"] = console.Shown(console.from_environment())
        hints.append("broker lists what to ask of the broker and the outboxes.")
    banner = [f"Nameko Python {sys.version} shell on {sys.platform}", f"Broker: {urlsplit(uri).hostname}", *hints]
    ShellRunner("\n".join(banner), names).start_shell(None)


if __name__ == "__main__":
    main()
