"""Users in a real MongoDB."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from pymongo.database import Database
from pymongo.errors import WriteError

from auth_svc.contract import EmailTaken, HasDuties, InvalidToken, Role, SessionEnded, UserNotFound
from auth_svc.users import Users, as_user, version_of
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
    others = ("name", "roles", "created_at", "verification", "credentials_version", "seq", "outbox")
    assert {k: v for k, v in changed.items() if k not in others} == {k: v for k, v in added.items() if k not in others}


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


def outbox(user: Document) -> list[tuple[str, int]]:
    return [(event["type"], event["seq"]) for event in user["outbox"]]


def token_of(user: Document) -> str:
    """The token of the last event of the user."""
    return str(user["outbox"][-1]["data"]["token"])


def test_new_user_is_asked_to_verify_the_address(users: Users, email: str) -> None:
    user = users.add(email, "Ada", "hash", ["customer"], "request-1")
    [event] = user["outbox"]
    assert (event["type"], event["request_id"], event["seq"]) == ("email_verification_requested", "request-1", 1)
    assert event["data"]["user_id"] == user["_id"]
    assert token_of(user) not in str({**user, "outbox": []}), "only its hash is kept"
    assert as_user(users.verify_email(token_of(user)))["email_verified"]
    with pytest.raises(InvalidToken):
        users.verify_email(token_of(user))


def test_password_is_reset_by_a_token_once(users: Users, email: str) -> None:
    users.begin_reset(users.add(email, "Ada", "old", ["customer"]))
    user = users.with_email(email)
    assert user is not None and outbox(user)[-1] == ("password_reset_requested", 2)
    assert users.with_reset_token(token_of(user))["_id"] == user["_id"]
    changed = users.reset_password(token_of(user), "new")
    assert (changed["password_hash"], version_of(changed)) == ("new", 2)
    assert outbox(changed)[-1] == ("credentials_changed", 3)
    assert as_user(changed)["email_verified"], "the token came to this address"
    for again in (users.with_reset_token, lambda token: users.reset_password(token, "third")):
        with pytest.raises(InvalidToken):
            again(token_of(user))


def test_one_of_many_resets_at_the_same_moment_counts(users: Users, email: str) -> None:
    users.begin_reset(users.add(email, "Ada", "old", ["customer"]))
    user = users.with_email(email)
    assert user is not None
    token = token_of(user)

    def reset(number: int) -> bool:
        try:
            users.reset_password(token, f"new {number}")
        except InvalidToken:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(reset, range(16))) == 1


def test_newer_token_replaces_the_older_one(users: Users, email: str) -> None:
    user = users.add(email, "Ada", "old", ["customer"])
    users.begin_reset(user)
    older = token_of(users.get(user["_id"]))
    users.begin_reset(user)
    with pytest.raises(InvalidToken):
        users.with_reset_token(older)
    assert users.with_reset_token(token_of(users.get(user["_id"])))


@pytest.mark.parametrize("field", ["reset", "verification"])
def test_token_is_good_for_its_time_only(users: Users, mongo: Database[Document], email: str, field: str) -> None:
    user = users.add(email, "Ada", "old", ["customer"])
    (users.begin_reset if field == "reset" else users.begin_verification)(user)
    token = token_of(users.get(user["_id"]))
    life = {"reset": 30 * 60, "verification": 24 * 3600}[field]
    kept = users.get(user["_id"])[field]["expires_at"]
    assert abs((kept - datetime.now(UTC)).total_seconds() - life) < 30
    mongo["users"].update_one({"_id": user["_id"]}, {"$set": {f"{field}.expires_at": datetime.now(UTC)}})
    with pytest.raises(InvalidToken):
        (users.with_reset_token if field == "reset" else users.verify_email)(token)


def test_token_of_one_kind_is_none_of_the_other(users: Users, email: str) -> None:
    user = users.add(email, "Ada", "old", ["customer"])
    with pytest.raises(InvalidToken):
        users.with_reset_token(token_of(user))
    users.begin_reset(user)
    with pytest.raises(InvalidToken):
        users.verify_email(token_of(users.get(user["_id"])))


def test_password_change_makes_a_mailed_token_worthless(users: Users, email: str) -> None:
    users.begin_reset(users.add(email, "Ada", "old", ["customer"]))
    user = users.with_email(email)
    assert user is not None
    users.change_password(user, "new")
    with pytest.raises(InvalidToken):
        users.with_reset_token(token_of(user))


def test_one_of_many_password_changes_at_the_same_moment_counts(users: Users, email: str) -> None:
    user = users.add(email, "Ada", "old", ["customer"])

    def change(number: int) -> bool:
        try:
            users.change_password(user, f"new {number}")
        except SessionEnded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(change, range(16))) == 1
    assert users.version(user["_id"]) == 2


def test_every_change_of_roles_counts_and_is_told(users: Users, email: str) -> None:
    user = users.add(email, "Ada", "hash", ["customer"])
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: users.set_roles(user["_id"], ["admin"]), range(16)))
    changed = users.get(user["_id"])
    assert version_of(changed) == 17
    told = [event for event in changed["outbox"] if event["type"] == "credentials_changed"]
    assert [event["seq"] for event in told] == list(range(2, 18))
    assert [event["data"]["credentials_version"] for event in told] == list(range(2, 18))


def test_newer_hash_of_a_password_does_not_undo_a_change(users: Users, email: str) -> None:
    user = users.add(email, "Ada", "old", ["customer"])
    users.change_password(user, "new")
    users.rehash(user, "old, hashed anew")
    assert users.get(user["_id"])["password_hash"] == "new"


def test_user_of_the_first_version_has_no_credentials_version(
    users: Users, mongo: Database[Document], email: str
) -> None:
    user = users.add(email, "Ada", "old", ["customer"])
    gone = dict.fromkeys(("credentials_version", "outbox", "seq", "verification"), "")
    mongo["users"].update_one({"_id": user["_id"]}, {"$unset": gone})
    assert users.version(user["_id"]) == 0
    changed = users.change_password(users.get(user["_id"]), "new")
    assert (version_of(changed), outbox(changed)) == (1, [("credentials_changed", 1)])


def test_who_is_erased_leaves_an_id_and_the_news_of_it(users: Users, mongo: Database[Document], email: str) -> None:
    before = users.add(email, "Ada", "hash", ["customer"], "request-1")
    users.begin_reset(before)
    users.erase(before["_id"], "request-2")
    left = mongo["users"].find_one({"_id": before["_id"]})
    assert left is not None
    assert (left["email"], left["name"], left["password_hash"]) == (f"erased:{before['_id']}", "", "")
    assert left["erased_at"] and not {"reset", "verification", "email_verified_at"} & set(left)
    assert outbox(left)[-1] == ("credentials_changed", 3) and left["outbox"][-1]["request_id"] == "request-2"
    assert users.version(before["_id"]) == version_of(before) + 1, "a login that has begun sees it"
    assert users.add(email, "Ada once more", "hash", ["customer"])["_id"] != before["_id"]


def test_who_is_erased_is_nobody(users: Users, email: str) -> None:
    user = users.add(email, "Ada", "hash", ["customer"])
    users.begin_reset(user)
    token = token_of(users.get(user["_id"]))
    users.erase(user["_id"])
    for look in (
        lambda: users.get(user["_id"]),
        lambda: users.rename(user["_id"], "x"),
        lambda: users.set_roles(user["_id"], ["admin"]),
        lambda: users.erase(user["_id"]),
    ):
        with pytest.raises(UserNotFound):
            look()
    assert users.with_email(email) is None and users.with_email(f"erased:{user['_id']}") is None
    assert list(users.with_ids([user["_id"]])) == []
    for worthless in (token, token_of(user)):
        with pytest.raises(InvalidToken):
            users.verify_email(worthless)
        with pytest.raises(InvalidToken):
            users.reset_password(worthless, "new")


def test_who_read_the_user_before_the_erasure_brings_nothing_back(
    users: Users, mongo: Database[Document], email: str
) -> None:
    user = users.add(email, "Ada", "hash", ["customer"])
    users.erase(user["_id"])
    left = mongo["users"].find_one({"_id": user["_id"]})
    users.begin_reset(user)
    users.begin_verification(user)
    users.rehash(user, "newer")
    with pytest.raises(SessionEnded):
        users.change_password(user, "other")
    assert mongo["users"].find_one({"_id": user["_id"]}) == left


@pytest.mark.parametrize("roles", [["customer", "organiser"], ["admin"], ["organiser", "customer", "admin"]])
def test_who_has_duties_is_not_erased(users: Users, email: str, roles: list[Role]) -> None:
    user = users.add(email, "Olga", "hash", roles)
    with pytest.raises(HasDuties):
        users.erase(user["_id"])
    assert users.get(user["_id"]) == user


def test_reset_for_nobody_writes_as_much_and_changes_no_user(users: Users, mongo: Database[Document]) -> None:
    before = mongo["users"].estimated_document_count()
    users.begin_reset(None)
    assert mongo["users"].estimated_document_count() == before
    assert mongo["decoys"].find_one({"reset.hash": {"$exists": True}})
