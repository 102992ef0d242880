"""The list of who calls whom, held against the services."""

import re
from pathlib import Path

import pytest
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from rabbitmq.calls import BoundedRpcProxy
from rabbitmq.names import SERVICES
from rabbitmq.permissions import CALLS
from rabbitmq.rpc_method import Rpc
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


def test_what_is_for_services_alone_is_not_for_the_gateway() -> None:
    assert "set_sales_terms" not in CALLS["gateway"]["booking_svc"]
    assert "get_contact" not in CALLS["gateway"]["auth_svc"]
