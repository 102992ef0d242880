"""
What makes a ticket's QR code believable offline: an Ed25519 signature, as a JSON Web Signature (RFC 7515).

The private key is 32 random bytes, its seed, written in hexadecimal digits: it can be made like any other secret. The
public keys are published as a JSON Web Key Set (RFC 7517, RFC 8037), retired ones included.
"""

import base64
import hashlib
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailer_svc.contract import TicketKey, TicketKeys

ALGORITHM = "EdDSA"
#: Bytes of an Ed25519 seed, and of a public key.
KEY_SIZE = 32
#: What stands for "no retired keys" in a setting that may not be empty.
NONE = "none"


class BadTicketKey(Exception):
    """TICKET_SIGNING_KEY must be 64 hexadecimal digits, TICKET_RETIRED_KEYS `none` or `x` values of /v1/ticket-keys."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class TicketSigner:
    """Signs by *seed* (64 hexadecimal digits); *retired* are the `x` values of earlier public keys, with commas."""

    def __init__(self, seed: str, retired: str = NONE) -> None:
        try:
            private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
            others = [] if retired == NONE else [_checked(x.strip()) for x in retired.split(",")]
        except ValueError as error:
            raise BadTicketKey from error
        self._private = private
        ours = public_key(_encoded(private.public_key().public_bytes_raw()))
        self._key_id = ours["kid"]
        self._keys = [ours, *(public_key(x) for x in others if x != ours["x"])]

    def sign(self, booking: dict[str, Any], ticket: dict[str, Any]) -> str:
        """
        The text in the ticket's QR code. Its payload: `code` (unique), `concert`, `booking` (the reference), `number`,
        `type`, and of a named seat `seat`. The same ticket has the same text for ever, as long as the key is the same.
        """
        claims = {
            "code": ticket["code"],
            "concert": booking["concert_id"],
            "booking": booking["reference"],
            "number": ticket["number"],
            "type": ticket["ticket_type"],
            **({"seat": ticket["seat"]} if ticket["seat"] else {}),
        }
        return jwt.encode(claims, self._private, ALGORITHM, headers={"kid": self._key_id, "typ": None})

    def public_keys(self) -> TicketKeys:
        """What verifies our signatures, the key in use first."""
        return TicketKeys(keys=self._keys)


def public_key(x: str) -> TicketKey:
    """The JSON Web Key of a public key in base64url; `kid` is the beginning of its thumbprint (RFC 7638)."""
    identity = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    thumbprint = _encoded(hashlib.sha256(identity.encode()).digest())
    return TicketKey(kid=thumbprint[:8], kty="OKP", crv="Ed25519", alg=ALGORITHM, use="sig", x=x)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _checked(x: str) -> str:
    raw = base64.urlsafe_b64decode(x + "=" * (-len(x) % 4))
    if len(raw) != KEY_SIZE or _encoded(raw) != x:
        raise ValueError(x)
    return x
