"""A contract is what both sides hold to: it needs nothing but Python, and the service does what it says, no more."""

import ast
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR

from rabbitmq.rpc_method import Rpc

ROOT = Path(__file__).resolve().parents[2]
#: Each service and the class that its contract describes as a Protocol of the same name.
SERVICES = {
    "auth_svc": "AuthService",
    "concert_svc": "ConcertService",
    "booking_svc": "BookingService",
    "mailer_svc": "MailerService",
}
each_service = pytest.mark.parametrize("service", SERVICES)


def promised(service: str) -> dict[str, Callable[..., Any]]:
    """The RPC methods in the contract of *service*."""
    protocol = getattr(import_module(f"{service}.contract"), SERVICES[service])
    return {name: member for name, member in vars(protocol).items() if _is_public_function(name, member)}


def served(service: str) -> dict[str, Callable[..., Any]]:
    """The RPC methods that *service* answers to."""
    cls = getattr(import_module(f"{service}.service"), SERVICES[service])
    return {
        name: member
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if any(isinstance(entrypoint, Rpc) for entrypoint in getattr(member, ENTRYPOINT_EXTENSIONS_ATTR, ()))
    }


def _is_public_function(name: str, member: Any) -> bool:
    return inspect.isfunction(member) and not name.startswith("_")


def test_every_contract_of_the_platform_is_checked_here() -> None:
    assert {path.parent.name for path in ROOT.glob("*/contract.py")} == SERVICES.keys()


@each_service
def test_contract_imports_the_standard_library_only(service: str) -> None:
    tree = ast.parse((ROOT / service / "contract.py").read_text())
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            imported.add(str(node.module).partition(".")[0])
    assert imported <= set(sys.stdlib_module_names)


@each_service
def test_service_answers_exactly_the_methods_of_its_contract(service: str) -> None:
    assert served(service).keys() == promised(service).keys()


@pytest.mark.parametrize(("service", "method"), [(s, m) for s in SERVICES for m in promised(s)])
def test_method_takes_and_returns_what_the_contract_says(service: str, method: str) -> None:
    ours, theirs = (inspect.signature(side(service)[method], eval_str=True) for side in (served, promised))
    assert ours == theirs


@each_service
def test_refusals_of_a_contract_have_one_root(service: str) -> None:
    contract = import_module(f"{service}.contract")
    for _, cls in inspect.getmembers(contract, inspect.isclass):
        if issubclass(cls, Exception):
            assert issubclass(cls, contract.Refusal)


@pytest.mark.parametrize(("service", "method"), [(s, m) for s in SERVICES for m in promised(s)])
def test_refusals_that_a_docstring_names_are_of_that_contract(service: str, method: str) -> None:
    contract = import_module(f"{service}.contract")
    _, _, raises = inspect.getdoc(promised(service)[method]).partition("Raises:")  # type: ignore[union-attr]
    named = {
        word.strip(" ,") for line in raises.splitlines() for word in line.partition(":")[0].split(",") if word.strip()
    }
    for name in named:
        assert issubclass(getattr(contract, name), contract.Refusal)


@each_service
def test_every_service_answers_a_ping(service: str) -> None:
    assert inspect.signature(promised(service)["ping"]).return_annotation == dict[str, str]
