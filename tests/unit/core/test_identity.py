"""Identities and credentials as values."""

import copy
import pickle

import pytest

from wsauth.core.credentials import Credentials
from wsauth.core.identity import NOBODY, OWN_ISSUER, Identity


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


def test_one_of_our_own_users_holds_grants() -> None:
    """They are a part of who Alice is, told apart by equality."""
    alice = Identity("alice", issuer=OWN_ISSUER, grants=["wsauth:admin", "wsauth:revoke"])
    assert alice.grants == ("wsauth:admin", "wsauth:revoke")
    assert alice != Identity("alice", issuer=OWN_ISSUER)
    assert Identity("bob", issuer="https://login.example.com", grants=[]).grants == ()


@pytest.mark.parametrize("issuer", ["https://login.example.com", "", "WSAUTH", "wsauth "])
def test_nobody_else_holds_grants(issuer: str) -> None:
    """A verifier cannot make Mallory an administrator, not even by an issuer that looks like ours."""
    with pytest.raises(ValueError, match="only a user of 'wsauth'"):
        Identity("mallory", issuer=issuer, grants=["wsauth:admin"])


@pytest.mark.parametrize("name", ["admin", "wsauth", "wsauth:", "wsauth:*", "wsauth:**", "Wsauth:admin", "wsauth::a"])
def test_a_grant_is_a_name_below_wsauth(name: str) -> None:
    """Other names and patterns are refused where the identity is made."""
    with pytest.raises(ValueError, match="is no grant"):
        Identity("alice", issuer=OWN_ISSUER, grants=["wsauth:admin", name])


def test_grants_are_a_list() -> None:
    """One text instead of a list would be a list of letters."""
    with pytest.raises(TypeError, match="list of names"):
        Identity("alice", issuer=OWN_ISSUER, grants="wsauth:admin")


def test_parts_of_an_identity_are_replaced_in_a_copy() -> None:
    """What is not named stays, handles follow, and the identity itself is as it was."""
    alice = Identity(
        "alice",
        issuer=OWN_ISSUER,
        roles=["member"],
        permissions=["files:read"],
        grants=["wsauth:admin"],
        expires_at=9.0,
        session_id="s-1",
        token_id="t-1",
        auth_time=1.0,
        claims={"epoch": 2},
    )
    assert alice.replace() == alice
    changed = alice.replace(roles=["guest"], grants=[], token_id=None, claims={**alice.claims, "iat": 3})
    assert changed == Identity(
        "alice",
        issuer=OWN_ISSUER,
        roles=["guest"],
        permissions=["files:read"],
        expires_at=9.0,
        session_id="s-1",
        auth_time=1.0,
        claims={"epoch": 2, "iat": 3},
    )
    assert changed.handles == (alice.key, ("session", "s-1", ""))
    assert alice.roles == ("member",)


def test_what_is_replaced_is_checked() -> None:
    """A foreign Mallory gets no grants this way either, and nobody does not become somebody."""
    with pytest.raises(ValueError, match="only a user of 'wsauth'"):
        Identity("mallory", issuer="a").replace(grants=["wsauth:admin"])
    with pytest.raises(ValueError, match="nobody"):
        NOBODY.replace(roles=["member"])


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
