"""Users in MongoDB: one document each, found by id, by e-mail address, or by a token that was mailed to them."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from auth_svc import mailed_tokens
from auth_svc.contract import (
    CREDENTIALS_CHANGED,
    EMAIL_VERIFICATION_REQUESTED,
    PASSWORD_RESET_REQUESTED,
    CredentialsChanged,
    EmailTaken,
    HasDuties,
    InvalidToken,
    MailedToken,
    Role,
    SessionEnded,
    User,
    UserNotFound,
)
from auth_svc.emails import normalise
from auth_svc.mailed_tokens import RESET_LIFE, VERIFICATION_LIFE, NewToken
from rabbitmq import database
from rabbitmq.database import Document, prepare
from rabbitmq.outbox import PENDING, envelope
from rabbitmq.times import to_wire

INDEXES = [
    IndexModel([("email", ASCENDING)], name="one_user_per_address", unique=True),
    *(
        IndexModel([(field, ASCENDING)], name=name, partialFilterExpression={field: {"$exists": True}})
        for field, name in (
            ("reset.hash", "password_resets"),
            ("verification.hash", "verifications"),
            (PENDING, "unpublished_events"),
        )
    ),
]
VALIDATOR: Document = {
    "$jsonSchema": {
        "required": ["email", "name", "roles", "password_hash", "created_at"],
        "properties": {
            "email": {"bsonType": "string"},
            "roles": {"bsonType": "array", "uniqueItems": True},
            "password_hash": {"bsonType": "string"},
            "credentials_version": {"bsonType": ["int", "long"]},
        },
    }
}
#: MongoDB takes a field that is not there for None.
NOT_ERASED: Document = {"erased_at": None}
#: Documents that belong to nobody, written to when an address is unknown so that this takes as long.
DECOYS = 64

#: A user as MongoDB stores it: the contract's shape, what proves who they are, and an outbox. One who has been erased
#: (`erased_at`) keeps the id, and nothing of a person; nobody finds them.
UserDocument = Document


class Users:
    """The collection `users`. `credentials_version` counts changes of password and roles; see `version_of`."""

    def __init__(self, mongo: Database[Document]) -> None:
        self._database = mongo
        self._users = prepare(mongo, "users", INDEXES, VALIDATOR)
        self._decoys = prepare(mongo, "decoys", [])

    def add(
        self, email: str, name: str, password_hash: str, roles: Sequence[Role], request_id: str | None = None
    ) -> UserDocument:
        """
        A new user, whose address is to be verified.

        Raises:
            EmailTaken: somebody has this address, in any spelling of case.
        """
        now = database.now(self._database)
        user: UserDocument = {
            "_id": secrets.token_hex(12),
            "email": normalise(email),
            "name": name,
            "roles": list(roles),
            "password_hash": password_hash,
            "credentials_version": 1,
            "created_at": now,
            "seq": 1,
        }
        token = mailed_tokens.new(now, VERIFICATION_LIFE)
        user["verification"] = _stored(token)
        event = _mailed(EMAIL_VERIFICATION_REQUESTED, user["_id"], token)
        user["outbox"] = [envelope("auth_svc", event[0], 1, dict(event[1]), now, request_id=request_id)]
        return self._insert(user)

    def add_verified(self, email: str, name: str, password_hash: str, roles: Sequence[Role]) -> UserDocument:
        """
        A new user whose address an operator vouches for.

        Raises:
            EmailTaken
        """
        now = datetime.now(UTC)
        return self._insert(
            {
                "_id": secrets.token_hex(12),
                "email": normalise(email),
                "email_verified_at": now,
                "name": name,
                "roles": list(roles),
                "password_hash": password_hash,
                "credentials_version": 1,
                "created_at": now,
                "seq": 0,
                "outbox": [],
            }
        )

    def _insert(self, user: UserDocument) -> UserDocument:
        try:
            self._users.insert_one(user)
        except DuplicateKeyError as error:
            raise EmailTaken from error
        return user

    def with_email(self, email: str) -> UserDocument | None:
        return self._users.find_one({"email": normalise(email), **NOT_ERASED})

    def get(self, user_id: str) -> UserDocument:
        """
        Raises:
            UserNotFound
        """
        return _found(self._users.find_one(_living(user_id)), user_id)

    def get_even_erased(self, user_id: str) -> UserDocument:
        """
        Raises:
            UserNotFound: there has never been such a user.
        """
        return _found(self._users.find_one({"_id": user_id}), user_id)

    def version(self, user_id: str) -> int:
        """
        The version of the user's credentials now; who has been erased has a newer one than before.

        Raises:
            UserNotFound
        """
        found = self._users.find_one({"_id": user_id}, {"credentials_version": 1})
        return version_of(_found(found, user_id))

    def with_ids(self, user_ids: Sequence[str]) -> Iterator[UserDocument]:
        """Those of them that there are."""
        yield from self._users.find({"_id": {"$in": list(user_ids)}, **NOT_ERASED})

    def rename(self, user_id: str, name: str) -> UserDocument:
        """
        Raises:
            UserNotFound
        """
        changed = self._users.find_one_and_update(
            _living(user_id), {"$set": {"name": name}}, return_document=ReturnDocument.AFTER
        )
        return _found(changed, user_id)

    def set_roles(self, user_id: str, roles: Sequence[Role], request_id: str | None = None) -> UserDocument:
        """
        Raises:
            UserNotFound
        """
        return _found(self._change_credentials(_living(user_id), {"roles": list(roles)}, request_id), user_id)

    def erase(self, user_id: str, request_id: str | None = None) -> None:
        """
        Forget who the user is, and have their sessions end, by the event if not sooner.

        Raises:
            HasDuties: they are more than a customer.
            UserNotFound
        """
        forgotten = {
            "email": f"erased:{user_id}",  # no address, and like no other: one_user_per_address wants one of each
            "name": "",
            "password_hash": "",
            "email_verified_at": "$$REMOVE",
            "verification": "$$REMOVE",
            "erased_at": "$$NOW",
        }
        if self._change_credentials({**_living(user_id), "roles": ["customer"]}, forgotten, request_id) is None:
            self.get(user_id)
            raise HasDuties

    def rehash(self, user: UserDocument, password_hash: str) -> None:
        """Store the same password's newer hash, unless the password has changed meanwhile."""
        self._users.update_one(
            {"_id": user["_id"], "password_hash": user["password_hash"]}, {"$set": {"password_hash": password_hash}}
        )

    def change_password(self, user: UserDocument, password_hash: str, request_id: str | None = None) -> UserDocument:
        """
        Another password, if *user* still has the one they were read with. A mailed token is worth nothing then.

        Raises:
            SessionEnded: somebody else was faster.
        """
        wanted = {"_id": user["_id"], "password_hash": user["password_hash"]}
        changed = self._change_credentials(wanted, {"password_hash": password_hash}, request_id)
        if changed is None:
            raise SessionEnded
        return changed

    def begin_reset(self, user: UserDocument | None, request_id: str | None = None) -> None:
        """A token to reset the password with, told by an event; for nobody (None) as much work, and nothing."""
        token = mailed_tokens.new(database.now(self._database), RESET_LIFE)
        if user is None:
            decoy = {"_id": secrets.randbelow(DECOYS)}
            self._decoys.find_one_and_update(decoy, {"$set": {"reset": _stored(token)}}, upsert=True)
            return
        event = _mailed(PASSWORD_RESET_REQUESTED, user["_id"], token)
        self._tell(_living(user["_id"]), {"reset": _stored(token)}, event, request_id)

    def with_reset_token(self, token: str) -> UserDocument:
        """
        Raises:
            InvalidToken
        """
        found = self._users.find_one(_good("reset", token))
        if found is None:
            raise InvalidToken
        return found

    def reset_password(self, token: str, password_hash: str, request_id: str | None = None) -> UserDocument:
        """
        Another password, by a token that is spent with it; the address is the user's, since the token came there.

        Raises:
            InvalidToken
        """
        changes = {"password_hash": password_hash, "email_verified_at": "$$NOW"}
        changed = self._change_credentials(_good("reset", token), changes, request_id)
        if changed is None:
            raise InvalidToken
        return changed

    def begin_verification(self, user: UserDocument, request_id: str | None = None) -> None:
        """A new token to verify the address with, told by an event."""
        token = mailed_tokens.new(database.now(self._database), VERIFICATION_LIFE)
        event = _mailed(EMAIL_VERIFICATION_REQUESTED, user["_id"], token)
        self._tell(_living(user["_id"]), {"verification": _stored(token)}, event, request_id)

    def verify_email(self, token: str) -> UserDocument:
        """
        Raises:
            InvalidToken
        """
        verified = self._users.find_one_and_update(
            _good("verification", token),
            [{"$set": {"email_verified_at": "$$NOW", "verification": "$$REMOVE"}}],
            return_document=ReturnDocument.AFTER,
        )
        if verified is None:
            raise InvalidToken
        return verified

    def _change_credentials(self, wanted: Document, changes: Document, request_id: str | None) -> UserDocument | None:
        """Change them, count it, tell it; older sessions end by the event, if not sooner."""
        user = self._users.find_one(wanted)
        if user is None:
            return None
        version = version_of(user) + 1
        event = CREDENTIALS_CHANGED, CredentialsChanged(user_id=user["_id"], credentials_version=version)
        unchanged = {**wanted, "_id": user["_id"], "credentials_version": user.get("credentials_version")}
        changed = self._tell(
            unchanged, {**changes, "credentials_version": version, "reset": "$$REMOVE"}, event, request_id
        )
        # Somebody else was faster: what is wanted may still be there, with another version.
        return changed or self._change_credentials(wanted, changes, request_id)

    def _tell(
        self,
        wanted: Document,
        changes: Document,
        event: tuple[str, MailedToken | CredentialsChanged],
        request_id: str | None,
    ) -> UserDocument | None:
        """Change the user and store *event* with the change; None if there is no such user."""
        told = envelope("auth_svc", event[0], 0, dict(event[1]), datetime.now(UTC), request_id=request_id)
        seq = {"$add": [{"$ifNull": ["$seq", 0]}, 1]}
        outbox = {
            "$concatArrays": [{"$ifNull": ["$outbox", []]}, [{"$mergeObjects": [{"$literal": told}, {"seq": seq}]}]]
        }
        values = {field: value if value in ("$$NOW", "$$REMOVE") else {"$literal": value}
                  for field, value in changes.items()}  # fmt: skip
        return self._users.find_one_and_update(
            wanted, [{"$set": {**values, "seq": seq, "outbox": outbox}}], return_document=ReturnDocument.AFTER
        )


def version_of(user: UserDocument) -> int:
    """
    Counts the changes of the user's password and roles. A session carries the one it began with.

    Users of the first version of the platform have none, which is 0.
    """
    return int(user.get("credentials_version") or 0)


def is_erased(user: UserDocument) -> bool:
    return user.get("erased_at") is not None


def as_user(document: UserDocument) -> User:
    """The user as the API shows it: never the password's hash."""
    return User(
        id=document["_id"],
        email=document["email"],
        email_verified=document.get("email_verified_at") is not None,
        name=document["name"],
        roles=document["roles"],
        created_at=to_wire(document["created_at"]),
    )


def _living(user_id: str) -> Document:
    return {"_id": user_id, **NOT_ERASED}


def _stored(token: NewToken) -> Document:
    return {"hash": token.hash, "expires_at": token.expires_at}


def _mailed(event: str, user_id: str, token: NewToken) -> tuple[str, MailedToken]:
    return event, MailedToken(user_id=user_id, token=token.text, expires_at=to_wire(token.expires_at))


def _good(field: str, token: str) -> Document:
    """The user whom *token* was mailed to, while it is good by the database's clock."""
    return {f"{field}.hash": mailed_tokens.hash_of(token), "$expr": {"$lt": ["$$NOW", f"${field}.expires_at"]}}


def _found(user: UserDocument | None, user_id: str) -> UserDocument:
    if user is None:
        raise UserNotFound(user_id)
    return user
