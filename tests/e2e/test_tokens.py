"""A token is ours with every claim and a session that lives, or it opens nothing."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jwt
import pytest

from gateway.tokens import key_id
from local import data_dir, private_files
from tests.e2e.api_client import Box, Person, problem

Claims = dict[str, Any]

PUBLIC_KEY = (
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----"
)


class Forge:
    """Makes tokens from the claims and header of a good one, also with the platform's own key."""

    def __init__(self, box: Box, person: Person) -> None:
        secrets = private_files.read_values(data_dir.secrets_file(box.stack.data_dir))
        self.key, self.previous_key = secrets["JWT_SECRET_KEY"], secrets["JWT_PREVIOUS_SECRET_KEY"]
        self.good, self.refresh = person.access_token, person.refresh_token
        self.header = jwt.get_unverified_header(self.good)
        self.claims: Claims = jwt.decode(self.good, options={"verify_signature": False})

    def sign(
        self,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        key: str | bytes | None = None,
        algorithm: str = "HS256",
        without: str | None = None,
    ) -> str:
        said = {**self.claims, **(claims or {})}
        said.pop(without or "", None)
        head = {**self.header, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None and name != "alg"}
        return self.raw({"alg": algorithm, **head}, json.dumps(said), self.key if key is None else key, algorithm)

    def raw(self, header: Any, payload: str | bytes, key: str | bytes, algorithm: str = "HS256") -> str:
        """Signed whatever it is; PyJWT itself refuses to make most of it."""
        signed = b".".join(map(encode, (json.dumps(header), payload)))
        if algorithm.lower() == "none":
            return signed.decode() + "."
        secret = key.encode() if isinstance(key, str) else key
        digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
        return (signed + b"." + encode(hmac.digest(secret, signed, getattr(hashlib, digest)))).decode()

    def parts(self) -> list[str]:
        return self.good.split(".")


def encode(part: str | bytes) -> bytes:
    return base64.urlsafe_b64encode(part.encode() if isinstance(part, str) else part).rstrip(b"=")


def with_other_signature(forge: Forge) -> str:
    head, payload, signature = forge.parts()
    return f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def with_other_payload(forge: Forge) -> str:
    head, _, signature = forge.parts()
    return f"{head}.{encode(json.dumps({**forge.claims, 'sub': 'somebody'})).decode()}.{signature}"


def twice(forge: Forge) -> str:
    doubled = json.dumps(forge.claims)[:-1] + ', "sub": "somebody"}'
    return forge.raw(forge.header, doubled, forge.key)


NOW = int(time.time())
FORGED: dict[str, Callable[[Forge], str]] = {
    # No signature, another one, or one by another algorithm.
    "no algorithm": lambda f: f.sign(algorithm="none"),
    "no algorithm, spelt None": lambda f: f.sign(algorithm="None"),
    "no algorithm, spelt nOnE": lambda f: f.sign(algorithm="nOnE"),
    "no algorithm, with the old signature": lambda f: f.sign(algorithm="none") + f.parts()[2],
    "an empty signature": lambda f: ".".join(f.parts()[:2]) + ".",
    "no signature at all": lambda f: ".".join(f.parts()[:2]),
    "another signature": with_other_signature,
    "another payload under the old signature": with_other_payload,
    "another key": lambda f: f.sign(key="x" * 64),
    "an empty key": lambda f: f.sign(key=""),
    "a public key as the secret": lambda f: f.sign(key=PUBLIC_KEY),
    "HS384 with the right key": lambda f: f.sign(algorithm="HS384"),
    "HS512 with the right key": lambda f: f.sign(algorithm="HS512"),
    "RS256 in the header": lambda f: f.raw({**f.header, "alg": "RS256"}, json.dumps(f.claims), f.key),
    "an algorithm that is a list": lambda f: f.raw({**f.header, "alg": ["HS256"]}, json.dumps(f.claims), f.key),
    # Headers that tell where to find a key.
    "no kid": lambda f: f.sign(header={"kid": None}),
    "a kid that is a path": lambda f: f.sign(header={"kid": "../../../../dev/null"}, key=""),
    "a kid that is SQL": lambda f: f.sign(header={"kid": "x' UNION SELECT 'secret'--"}, key="secret"),
    "a kid that is an operator": lambda f: f.sign(header={"kid": {"$ne": ""}}),
    "a kid of many": lambda f: f.sign(header={"kid": [f.header["kid"]]}),
    "the kid of the other key": lambda f: f.sign(key=f.previous_key),
    "a jku": lambda f: f.sign(header={"jku": "http://127.0.0.1:1/keys"}),
    "a jwk": lambda f: f.sign(header={"jwk": {"kty": "oct", "k": "eA"}}, key="x"),
    "an x5u": lambda f: f.sign(header={"x5u": "http://127.0.0.1:1/cert"}),
    "a crit": lambda f: f.sign(header={"crit": ["exp"]}),
    "b64 switched off": lambda f: f.sign(header={"b64": False, "crit": ["b64"]}),
    # Claims that are not as they should be, signed with the right key.
    "issued by somebody else": lambda f: f.sign({"iss": "somebody"}),
    "for somebody else": lambda f: f.sign({"aud": "somebody"}),
    "for us among others": lambda f: f.sign({"aud": [f.claims["aud"], "somebody"]}),
    "good in an hour": lambda f: f.sign({"nbf": NOW + 3600}),
    "issued in an hour": lambda f: f.sign({"iat": NOW + 3600}),
    "exp is a text": lambda f: f.sign({"exp": "never"}),
    "exp is a fraction": lambda f: f.sign({"exp": NOW + 3600.5}),
    "exp is endless": lambda f: f.raw(f.header, json.dumps({**f.claims, "exp": float("inf")}), f.key),
    "exp is too large": lambda f: f.sign({"exp": 10**400}),
    "exp is true": lambda f: f.sign({"exp": True}),
    "another type": lambda f: f.sign({"type": "admin"}),
    "a refresh token": lambda f: f.refresh,
    "sub is a number": lambda f: f.sign({"sub": 42}),
    "sub is an operator": lambda f: f.sign({"sub": {"$gt": ""}}),
    "sid is a number": lambda f: f.sign({"sid": 42}),
    "sid is a pattern": lambda f: f.sign({"sid": ["*"]}),
    **{f"no {name}": lambda f, name=name: f.sign(without=name)  # type: ignore[misc]
       for name in ("iss", "aud", "exp", "nbf", "iat", "jti", "sid", "type", "sub")},
    # What is no JSON object, or no token.
    "claims that are a list": lambda f: f.raw(f.header, "[1, 2]", f.key),
    "claims that are no JSON": lambda f: f.raw(f.header, "{nope", f.key),
    "claims that are no UTF-8": lambda f: f.raw(f.header, b"\xff\xfe{}", f.key),
    "claims of great depth": lambda f: f.raw(f.header, "[" * 3000, f.key),
    "a header that is a list": lambda f: f.raw([1], json.dumps(f.claims), f.key),
    "five parts": lambda f: f.good + ".a.b",
    "white space inside": lambda f: f.good.replace(".", " .", 1),
}  # fmt: skip
#: Signed with the right key and whole, but of no session that lives.
SESSIONLESS: dict[str, Callable[[Forge], str]] = {
    "a session that never was": lambda f: f.sign({"sid": uuid.uuid4().hex}),
    "somebody else's session": lambda f: f.sign({"sub": uuid.uuid4().hex}),
    "a key of Redis for a session": lambda f: f.sign({"sid": f"{f.claims['sid']}\r\nDEL x"}),
    "claimed twice": twice,
}


@pytest.fixture(scope="module")
def person(box: Box) -> Person:
    return box.register()


@pytest.fixture(scope="module")
def forge(box: Box, person: Person) -> Forge:
    return Forge(box, person)


def ask(box: Box, token: str) -> tuple[int, str]:
    return problem(box.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"}))


def test_the_forge_makes_good_tokens_of_both_keys(box: Box, person: Person, forge: Forge) -> None:
    """Otherwise the refusals below would show nothing."""
    previous = {"kid": key_id(forge.previous_key)}
    for token in (forge.sign(), forge.sign(header=previous, key=forge.previous_key)):
        answer = box.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.json()["id"] == person.id


@pytest.mark.parametrize("kind", FORGED)
def test_forged_token_opens_nothing(box: Box, forge: Forge, kind: str) -> None:
    assert ask(box, FORGED[kind](forge)) == (401, "not_authenticated")


@pytest.mark.parametrize("kind", SESSIONLESS)
def test_token_without_its_session_is_worth_nothing(box: Box, forge: Forge, kind: str) -> None:
    assert ask(box, SESSIONLESS[kind](forge)) == (401, "session_ended")


def test_forged_kinds_are_forty_and_more() -> None:
    assert len(FORGED) + len(SESSIONLESS) >= 40


def test_token_expires_to_the_second(box: Box, forge: Forge) -> None:
    assert ask(box, forge.sign({"exp": int(time.time()) - 1})) == (401, "token_expired")
    assert forge.claims["exp"] - forge.claims["iat"] <= 15 * 60


def test_token_of_64_kilobytes_is_refused_by_the_server(box: Box, forge: Forge) -> None:
    token = forge.sign({"pad": "x" * 65_536})
    answer = httpx.get(f"{box.stack.api_url}/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 431


def test_access_token_refreshes_nothing(box: Box, person: Person) -> None:
    answer = box.http.post("/v1/auth/refresh", headers=person.authorization)
    assert problem(answer) == (401, "not_authenticated")


def test_session_id_that_a_client_brings_is_not_taken(box: Box, person: Person) -> None:
    brought = {"X-Session-ID": "mine", "Cookie": "sid=mine; session=mine", **person.authorization}
    body = {"email": person.user["email"], "password": "correct horse battery staple"}
    ids = []
    for _ in range(2):
        answer = box.http.post("/v1/auth/login", json=body, headers=brought)
        ids.append(jwt.decode(answer.json()["access_token"], options={"verify_signature": False})["sid"])
    before = jwt.decode(person.access_token, options={"verify_signature": False})["sid"]
    assert len({*ids, before, "mine"}) == 4
