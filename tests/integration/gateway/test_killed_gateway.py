"""The gateway's parent process is killed: its workers make room for another while they end what they have begun."""

from http.client import HTTPConnection

import psutil
import pytest

from local import ports
from tests.integration.gateway.serving import HOST, gateway
from tests.local_stack import LocalStack
from tests.polling import poll


def test_another_gateway_can_listen_before_the_orphans_have_hung_up_on_their_clients(stack: LocalStack) -> None:
    with gateway(stack) as port:
        running = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
        parent = next(one for one in running if one.environ().get("PORT") == str(port))
        (worker,) = parent.children()
        client = HTTPConnection(HOST, port, timeout=10)
        client.request("GET", "/health/live")
        client.getresponse().read()
        parent.kill()
        poll(lambda: ports.refusal(port) is None, seconds=30)
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):  # it may have something more to ask
            client.sock.recv(1)
        client.close()
        worker.wait(30)
