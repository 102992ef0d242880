"""Users in a real MongoDB."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from pymongo.database import Database
from pymongo.errors import WriteError

from auth_svc.contract import EmailTaken, UserNotFound
from auth_svc.users import Users
from rabbitmq.database import Document


@pytest.fixture
def email() -> str:
    """An address nobody has."""
    return f"{uuid4().hex}@example.org"


def test_added_user_is_found_by_id_and_by_address(users: Users, email: str) -> None:
    added = users.add(email, "Ada", "hash", ["customer"])
    assert users.get(added["_id"])["email"] == email
    found = users.with_email(email)
    assert found is not None and found["_id"] == added["_id"]


def test_address_is_taken_once_whatever_its_case(users: Users, email: str) -> None:
    users.add(email, "Ada", "hash", ["customer"])
    for spelling in (email, email.upper(), email.title(), f" {email} "):
        with pytest.raises(EmailTaken):
            users.add(spelling, "Eve", "hash", ["customer"])
        found = users.with_email(spelling)
        assert found is not None and found["name"] == "Ada"


def test_one_of_many_who_want_an_address_at_the_same_moment_gets_it(users: Users, email: str) -> None:
    def add(number: int) -> bool:
        try:
            users.add(email.upper() if number % 2 else email, f"User {number}", "hash", ["customer"])
        except EmailTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(add, range(16))) == 1


def test_name_and_roles_change_and_nothing_else_does(users: Users, email: str) -> None:
    added = users.add(email, "Ada", "hash", ["customer"])
    users.rename(added["_id"], "Ada Lovelace")
    changed = users.set_roles(added["_id"], ["customer", "organiser"])
    assert (changed["name"], changed["roles"]) == ("Ada Lovelace", ["customer", "organiser"])
    assert {k: v for k, v in changed.items() if k not in ("name", "roles", "created_at")} == {
        k: v for k, v in added.items() if k not in ("name", "roles", "created_at")
    }


def test_unknown_user_is_not_found(users: Users) -> None:
    nobody = uuid4().hex
    assert users.with_email(f"{nobody}@example.org") is None
    for look in (lambda: users.get(nobody), lambda: users.rename(nobody, "x"), lambda: users.set_roles(nobody, [])):
        with pytest.raises(UserNotFound):
            look()


def test_database_refuses_a_user_without_a_password(mongo: Database[Document], users: Users, email: str) -> None:
    with pytest.raises(WriteError):
        mongo["users"].insert_one({"email": email, "name": "Eve", "roles": ["admin"], "created_at": 1})


def test_preparing_again_keeps_the_users(mongo: Database[Document], users: Users, email: str) -> None:
    added = users.add(email, "Ada", "hash", ["customer"])
    assert Users(mongo).get(added["_id"])["name"] == "Ada"
