"""The list of who calls whom, held against the services."""

import re
from pathlib import Path
from uuid import uuid4

import pytest
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from rabbitmq import delays
from rabbitmq.calls import BoundedRpcProxy
from rabbitmq.names import BATCHED, PROGRAMS, SERVICES, batch_key, outlet, reply_id
from rabbitmq.permissions import CALLS, topic_rights
from rabbitmq.rpc_method import Rpc
from rabbitmq.topology import SUBSCRIPTIONS, Subscription
from tests.unit.rabbitmq.test_topology import service_class

ROOT = Path(__file__).resolve().parents[3]
HOW = "rabbitmq/permissions.py has the list; then: python -m rabbitmq topology definitions > rabbitmq/definitions.json"


def served(service: str) -> set[str]:
    """The RPC methods of *service*."""
    return {
        name
        for name, member in vars(service_class(service)).items()
        if any(isinstance(entrypoint, Rpc) for entrypoint in getattr(member, ENTRYPOINT_EXTENSIONS_ATTR, ()))
    }


def in_the_list(service: str) -> set[str]:
    """What anybody may call of *service*."""
    return {method for called in CALLS.values() for method in called.get(service, ())}


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_is_called_by_somebody_and_every_call_is_served(service: str) -> None:
    assert in_the_list(service) == served(service), HOW


@pytest.mark.parametrize("service", SERVICES)
def test_service_may_call_whom_it_has_a_proxy_for(service: str) -> None:
    proxies = [member for member in vars(service_class(service)).values() if isinstance(member, BoundedRpcProxy)]
    assert {proxy.target_service for proxy in proxies} == CALLS.get(service, {}).keys()


@pytest.mark.parametrize("service", SERVICES)
def test_gateway_may_call_what_its_code_calls(service: str) -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    called = set(re.findall(rf"\bservices\(\)\s*\.{service.removesuffix('_svc')}\.(\w+)", code))
    assert called <= set(CALLS["gateway"][service]), HOW


def test_the_mailer_may_ask_for_an_address_and_nothing_else() -> None:
    assert CALLS["mailer_svc"] == {"auth_svc": ("get_contact",)}


def test_booking_svc_may_ask_which_mails_wait_and_nothing_else() -> None:
    assert CALLS["booking_svc"] == {"mailer_svc": ("find_waiting",)}


def test_what_is_for_services_alone_is_not_for_the_gateway() -> None:
    assert "set_sales_terms" not in CALLS["gateway"]["booking_svc"]
    assert "get_contact" not in CALLS["gateway"]["auth_svc"]
    assert "find_waiting" not in CALLS["gateway"]["mailer_svc"]


@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda s: s.queue)
def test_nobody_but_its_hearer_may_send_what_a_queue_takes_for_its_own(subscription: Subscription) -> None:
    """So a message that was copied to the queue of an event (RabbitMQ's headers CC and BCC) is told from one."""
    event = f"{subscription.source}.{subscription.event}"
    taken = [
        subscription.event,
        subscription.queue,
        delays.enters_as(event, 5),
        delays.enters_as(subscription.queue, 5),
    ]
    assert all(map(subscription.sent_as, taken))
    for program in set(PROGRAMS) - {"relay"}:
        write = topic_rights(program)[outlet(program)].write
        allowed = {key for key in taken if re.search(write, key)}
        own = {subscription.queue, taken[-1]} if program == subscription.service else set()
        assert allowed == own


def test_every_call_and_every_answer_may_be_sent_and_no_other_call() -> None:
    every = {f"{service}.{method}" for called in CALLS.values() for service in called for method in called[service]}
    batched = {f"{service}.{method}" for service, methods in BATCHED.items() for method in methods}
    assert batched <= every
    for program in set(PROGRAMS) - {"relay"}:
        write = topic_rights(program)[outlet(program)].write
        mine = {f"{service}.{method}" for service, methods in CALLS.get(program, {}).items() for method in methods}
        assert {key for key in every if re.search(write, key)} == mine
        assert {key for key in every if re.search(write, batch_key(key))} == mine & batched
        for answer in (reply_id("gateway"), reply_id("mailer_svc"), str(uuid4())):  # the last is the shell's
            assert bool(re.search(write, answer)) == (program in SERVICES)
