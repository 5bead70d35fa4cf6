"""Identities and credentials as values."""

import copy
import pickle

import pytest

from wsauth.core.credentials import Credentials
from wsauth.core.identity import NOBODY, Identity


def test_two_identities_are_the_same_by_issuer_and_subject() -> None:
    """The key is the pair; equality is everything."""
    alice = Identity("alice", issuer="a")
    assert alice.key == ("a", "alice") == Identity("alice", issuer="a", roles=["member"]).key
    assert alice.key != Identity("alice", issuer="b").key
    assert alice == Identity("alice", issuer="a")
    assert alice != Identity("alice", issuer="a", roles=["member"])
    assert alice != "alice"
    assert hash(alice) == hash(Identity("alice", issuer="a"))


def test_an_identity_is_frozen() -> None:
    """Nobody can make Mallory into Alice afterwards, and lists that came in do not go on changing."""
    roles, claims = ["member"], {"a": 1}
    mallory = Identity("mallory", issuer="a", roles=roles, claims=claims)
    with pytest.raises(AttributeError, match="frozen"):
        mallory.subject = "alice"
    with pytest.raises(AttributeError, match="frozen"):
        del mallory.key
    with pytest.raises(TypeError):
        mallory.claims["a"] = 2  # type: ignore[index] # what an application may try
    roles.append("admin")
    claims["b"] = 2
    assert (mallory.roles, dict(mallory.claims)) == (("member",), {"a": 1})


@pytest.mark.parametrize(("subject", "issuer", "roles"), [(7, "a", []), ("alice", None, []), ("alice", "a", "member")])
def test_an_identity_that_is_built_wrong_is_an_error(subject: object, issuer: object, roles: object) -> None:
    """A number for a subject, no issuer, and one text for a list are mistakes of a verifier."""
    with pytest.raises(TypeError):
        Identity(subject, issuer=issuer, roles=roles)  # type: ignore[arg-type] # what a verifier may get wrong


def test_nobody_is_somebody_only_by_name() -> None:
    """Nobody is the one identity that is not authenticated, and has the role `anonymous`."""
    assert not NOBODY.is_authenticated
    assert Identity("", issuer="").is_authenticated
    assert NOBODY.roles == ("anonymous",)


def test_credentials_hide_their_secret() -> None:
    """Not in `repr`, not in `str`, not in a pickle."""
    credentials = Credentials("password", "s3cret", source="basic", username="alice")
    assert "s3cret" not in repr(credentials) + str(credentials) + f"{credentials}"
    for keep in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            keep(credentials)
