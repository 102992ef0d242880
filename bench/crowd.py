"""
A crowd of buyers, signed in.

To register thousands by the API would take minutes of argon2. One is registered there; the others are copies of what
auth_svc stored in MongoDB, and of the token; their sessions are begun by its own code.
"""

import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import jwt

from auth_svc.contract import Origin
from auth_svc.sessions import Sessions
from bench.programme import Programme, new_address
from rabbitmq import database, redis_server


class Crowd(NamedTuple):
    """Buyers, each with an access token, good for a quarter of an hour."""

    emails: list[str]
    tokens: list[str]


def gather(facts: Mapping[str, str], programme: Programme, number: int) -> Crowd:
    """*number* buyers of the stack that *facts* describe, all with `programme.PASSWORD`."""
    user_id, token = programme.buyer()
    users = database.connect(facts["MONGO_URI"], "auth_svc")["users"]
    one = users.find_one({"_id": user_id}, {"verification": 0})
    assert one is not None
    one["outbox"] = []
    copies = [{**one, "_id": secrets.token_hex(12), "email": new_address()} for _ in range(number)]
    users.insert_many(copies, ordered=False)
    sign_in = _Clerk(facts, token).sign_in
    return Crowd([copy["email"] for copy in copies], [sign_in(copy["_id"]) for copy in copies])


class _Clerk:
    """Begins sessions, and makes a token like *token* for each."""

    def __init__(self, facts: Mapping[str, str], token: str) -> None:
        self._sessions = Sessions(redis_server.connect(facts["SESSION_REDIS_URL"], decode_responses=True))
        self._key = facts["JWT_SECRET_KEY"]
        self._headers = jwt.get_unverified_header(token)
        self._claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})

    def sign_in(self, user_id: str) -> str:
        session = self._sessions.begin(user_id, ["customer"], 1, Origin(address="127.0.0.1", device="bench"))
        claims = {**self._claims, "sub": user_id, "sid": session["id"], "jti": str(uuid4())}
        return jwt.encode(claims, self._key, self._headers["alg"], headers=self._headers)
