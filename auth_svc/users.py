"""Users in MongoDB: one document each, found by id or by e-mail address."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from auth_svc.contract import EmailTaken, Role, User, UserNotFound
from rabbitmq.database import Document, prepare
from rabbitmq.times import to_wire

INDEXES = [IndexModel([("email", ASCENDING)], name="one_user_per_address", unique=True)]
VALIDATOR: Document = {
    "$jsonSchema": {
        "required": ["email", "name", "roles", "password_hash", "created_at"],
        "properties": {
            "email": {"bsonType": "string"},
            "roles": {"bsonType": "array", "uniqueItems": True},
            "password_hash": {"bsonType": "string"},
        },
    }
}

#: A user as MongoDB stores it: the contract's shape plus `password_hash`.
UserDocument = Document


def normalise(email: str) -> str:
    """The form in which an address is stored and compared."""
    return email.strip().lower()


class Users:
    """The collection `users`."""

    def __init__(self, database: Database[Document]) -> None:
        self._users = prepare(database, "users", INDEXES, VALIDATOR)

    def add(self, email: str, name: str, password_hash: str, roles: Sequence[Role]) -> UserDocument:
        """
        Raises:
            EmailTaken: somebody has this address, in any spelling of case.
        """
        user: UserDocument = {
            "_id": secrets.token_hex(12),
            "email": normalise(email),
            "name": name,
            "roles": list(roles),
            "password_hash": password_hash,
            "created_at": datetime.now(UTC),
        }
        try:
            self._users.insert_one(user)
        except DuplicateKeyError as error:
            raise EmailTaken from error
        return user

    def with_email(self, email: str) -> UserDocument | None:
        return self._users.find_one({"email": normalise(email)})

    def get(self, user_id: str) -> UserDocument:
        """
        Raises:
            UserNotFound
        """
        return _found(self._users.find_one({"_id": user_id}), user_id)

    def rename(self, user_id: str, name: str) -> UserDocument:
        """
        Raises:
            UserNotFound
        """
        return self._change(user_id, {"name": name})

    def set_roles(self, user_id: str, roles: Sequence[Role]) -> UserDocument:
        """
        Raises:
            UserNotFound
        """
        return self._change(user_id, {"roles": list(roles)})

    def _change(self, user_id: str, changes: Document) -> UserDocument:
        changed = self._users.find_one_and_update(
            {"_id": user_id}, {"$set": changes}, return_document=ReturnDocument.AFTER
        )
        return _found(changed, user_id)


def _found(user: UserDocument | None, user_id: str) -> UserDocument:
    if user is None:
        raise UserNotFound(user_id)
    return user


def as_user(document: UserDocument) -> User:
    """The user as the API shows it: never the password's hash."""
    return User(
        id=document["_id"],
        email=document["email"],
        name=document["name"],
        roles=document["roles"],
        created_at=to_wire(document["created_at"]),
    )
