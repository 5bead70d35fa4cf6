"""Which key of a set a token means."""

import pytest

from tests.issuing import SECRET, base64url, public_jwk, public_pem
from wsauth.core.tokens.keys import ASYMMETRIC, SUPPORTED, KeyRefused, from_pem
from wsauth.core.tokens.keysets import KeySet, from_jwks

RSA = public_jwk("RS256", kid="rsa")
EC = public_jwk("ES256", kid="ec")
OCT = {"kty": "oct", "k": base64url(SECRET.encode()), "kid": "oct"}


def key_set(*keys: object, remote: bool = False) -> KeySet:
    """Return the usable keys of a set."""
    return from_jwks({"keys": list(keys)}, SUPPORTED, remote=remote)[0]


def test_a_kid_names_its_key_and_no_other() -> None:
    """The key of that id is found when it can do the algorithm, else none."""
    keys = key_set(RSA, EC)
    found = keys.choose("ES256", "ec")
    assert found is not None
    assert found.key_id == "ec"
    assert keys.choose("RS256", "ec") is None
    assert keys.choose("ES256", "other") is None


def test_without_a_kid_exactly_one_key_must_be_able() -> None:
    """The only key for the algorithm is meant, and of two neither is."""
    keys = key_set(RSA, EC, public_jwk("ES256", "other", kid="ec2"))
    found = keys.choose("RS256", None)
    assert found is not None
    assert found.key_id == "rsa"
    assert keys.choose("ES256", None) is None
    assert keys.choose("HS256", None) is None


def test_a_key_without_an_id_takes_any_id_alone() -> None:
    """A PEM key has no id, so a token may name one; beside keys with ids it is still the only such key."""
    pem = from_pem(public_pem("ES256"), SUPPORTED)
    assert KeySet([pem]).choose("ES256", "whatever") is pem
    other = from_pem(public_pem("ES256", "other"), SUPPORTED)
    assert KeySet([pem, other]).choose("ES256", "whatever") is None


def test_a_known_id_never_means_a_key_without_one() -> None:
    """A token that names a key with an id is not tried with another key that happens to fit."""
    pem = from_pem(public_pem("RS256"), SUPPORTED)
    keys = KeySet([pem, *key_set(EC).keys])
    assert keys.choose("RS256", "ec") is None
    assert keys.choose("RS256", "other") is pem


def test_one_id_for_two_keys_names_neither() -> None:
    """An id given twice for one algorithm is nobody's, for two algorithms it names both."""
    twice = public_jwk("ES256", "other", kid="ec")
    assert key_set(EC, twice).choose("ES256", "ec") is None
    both = key_set(public_jwk("RS256", kid="k"), public_jwk("ES256", kid="k"))
    assert both.choose("RS256", "k") is not both.choose("ES256", "k")


def test_the_same_key_listed_twice_is_one_key() -> None:
    """A set that repeats itself loses nothing."""
    keys = key_set(EC, dict(EC))
    assert len(keys.keys) == 1
    assert keys.choose("ES256", "ec") is not None


def test_our_own_set_may_hold_secrets_and_a_fetched_one_not() -> None:
    """A symmetric key counts only where it was configured."""
    assert key_set(OCT).choose("HS256", "oct") is not None
    keys, remarks = from_jwks({"keys": [OCT, EC]}, SUPPORTED, remote=True)
    assert [key.key_id for key in keys.keys] == ["ec"]
    assert "symmetric" in remarks[0]


def test_a_weak_key_stops_our_own_set_and_is_passed_over_in_a_fetched_one() -> None:
    """Our own mistake is an error, and somebody else's does not take the good keys with it."""
    weak = RSA | {"e": "AQ"}
    with pytest.raises(KeyRefused, match="key 1"):
        from_jwks({"keys": [EC, weak]}, SUPPORTED, remote=False)
    keys, remarks = from_jwks({"keys": [EC, weak, RSA | {"use": "enc"}]}, ASYMMETRIC, remote=True)
    assert [key.key_id for key in keys.keys] == ["ec"]
    assert len(remarks) == 2


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": "x"}, {"keys": [{}] * 201}])
def test_what_is_no_key_set_is_refused(document: dict[str, object]) -> None:
    """A document without a list of at most 200 keys is an error."""
    with pytest.raises(KeyRefused, match="key set"):
        from_jwks(document, SUPPORTED, remote=True)


def test_a_set_knows_whether_a_newer_one_could_help() -> None:
    """Only an id that is not there, or no keys at all, is worth a request."""
    assert not KeySet().knows(None)
    assert not KeySet().knows("ec")
    assert key_set(EC).knows("ec")
    assert key_set(EC).knows(None)
    assert not key_set(EC).knows("other")
    assert KeySet([from_pem(public_pem("ES256"), SUPPORTED)]).knows("other")
