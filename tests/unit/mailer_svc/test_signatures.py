"""The keys of the tickets: what is one, and how it is published."""

import jwt
import pytest

from mailer_svc.signatures import BadTicketKey, TicketSigner, public_key
from tests.unit.mailer_svc.letters import SEED

#: From RFC 8037, appendix A: a private seed, its public key, and that key's thumbprint.
RFC_SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
RFC_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_public_key_is_that_of_the_rfc() -> None:
    [key] = TicketSigner(RFC_SEED).public_keys()["keys"]
    assert (key["kty"], key["crv"], key["x"]) == ("OKP", "Ed25519", RFC_X)
    assert RFC_THUMBPRINT.startswith(key["kid"]) and len(key["kid"]) == 8


def test_published_keys_are_a_json_web_key_set() -> None:
    keys = jwt.PyJWKSet.from_dict(dict(TicketSigner(SEED, RFC_X).public_keys()))
    assert [key.algorithm_name for key in keys.keys] == ["EdDSA", "EdDSA"]


def test_retired_keys_are_published_after_the_one_in_use_and_once() -> None:
    ours = TicketSigner(RFC_SEED).public_keys()["keys"][0]["x"]
    other = TicketSigner(SEED).public_keys()["keys"][0]["x"]
    assert [key["x"] for key in TicketSigner(RFC_SEED, f"{other}, {ours}").public_keys()["keys"]] == [ours, other]


@pytest.mark.parametrize("seed", ["", "11", "11" * 31, "11" * 33, "zz" * 32, "none"])
def test_what_is_no_private_key_is_refused_at_the_start(seed: str) -> None:
    with pytest.raises(BadTicketKey) as refusal:
        TicketSigner(seed)
    assert seed == "" or seed not in str(refusal.value) or seed == "none"


@pytest.mark.parametrize("retired", ["", "11" * 32, RFC_X + "=", RFC_X[:-1], f"{RFC_X},", "ä"])
def test_what_is_no_public_key_is_refused_at_the_start(retired: str) -> None:
    with pytest.raises(BadTicketKey):
        TicketSigner(SEED, retired)


def test_key_id_depends_on_the_key_alone() -> None:
    assert public_key(RFC_X) == public_key(RFC_X)
