"""Roles and the patterns they give."""

import pytest

from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.core.permissions import Permissions, Roles
from wsauth.errors import ConfigurationError


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("chat:*:read", "chat:lobby:read", True),
        ("chat:*:read", "chat:read", False),
        ("chat:*:read", "chat:a:b:read", False),
        ("chat:*:read", "chat:lobby:write", False),
        ("chat:*", "chat:lobby", True),
        ("chat:*", "chat", False),
        ("chat:*", "chat:a:b", False),
        ("*", "chat", True),
        ("*", "chat:a", False),
        ("**", "chat", True),
        ("**", "chat:a:b", True),
        ("chat:**", "chat:a:b", True),
        ("chat:**", "chat", True),
        ("chat:**", "chats", False),
        ("chat:**:read", "chat:read", True),
        ("chat:**:read", "chat:a:b:read", True),
        ("chat:**:read", "chat:a:b:write", False),
        ("**:read", "read", True),
        ("a:**:b:**:c", "a:x:b:b:y:c", True),
        ("a:**:b:**:c", "a:x:c", False),
        ("chat:*", "chat:", False),
        ("**", "", False),
        ("chat:**", "chat::a", False),
        ("chat:*", "chat:*", False),
        ("**", "wsauth:admin", False),
        ("*:admin", "wsauth:admin", False),
        ("**", "x" * 1025, False),
    ],
)
def test_a_pattern_answers_for_names(pattern: str, name: str, allowed: bool) -> None:
    """`*` is one segment, `**` any number; what is not a name, and what is reserved, is never matched."""
    permissions = Permissions((), [pattern])
    assert permissions.allow(name) is allowed
    assert (name in permissions) is allowed


def test_a_name_is_held_exactly() -> None:
    """Names are no prefixes and no patterns, and what is not text is not held."""
    permissions = Permissions(["chat:lobby:send"])
    assert permissions.allow("chat:lobby:send")
    assert not permissions.allow("chat:lobby")
    assert not permissions.allow("chat:lobby:send:all")
    assert 7 not in permissions


def test_permissions_are_compared_by_what_they_allow() -> None:
    """Order and repetition do not matter; names and patterns are listed together, sorted."""
    permissions = Permissions(["b", "a", "a"], ["c:*"])
    assert permissions == Permissions(["a", "b"], ["c:*"])
    assert hash(permissions) == hash(Permissions(["a", "b"], ["c:*"]))
    assert permissions != Permissions(["a", "b"])
    assert permissions.names == ("a", "b", "c:*")


def test_roles_become_permissions() -> None:
    """Alice's roles and her own names come together; a role that is not in the table gives nothing."""
    roles = Roles({"member": ["chat:*:read", "chat:lobby:send"], "guest": ["chat:lobby:read"]})
    alice = Identity("alice", issuer="i", roles=["member", "unknown"], permissions=["files:read"])
    assert roles.resolve(alice).names == ("chat:*:read", "chat:lobby:send", "files:read")
    assert roles.resolve(Identity("mallory", issuer="i", roles=["unknown"])).names == ()


def test_patterns_never_come_from_a_credential() -> None:
    """A permission with a star in Mallory's token is dropped."""
    mallory = Identity("mallory", issuer="i", permissions=["**", "chat:*", "chat:lobby"])
    assert Roles({}).resolve(mallory).names == ("chat:lobby",)


def test_a_reserved_permission_never_comes_from_a_credential() -> None:
    """What begins with `wsauth:` is nobody's, whatever a verifier says."""
    mallory = Identity("mallory", issuer="i", permissions=["wsauth:admin"])
    assert not Roles({}).resolve(mallory).allow("wsauth:admin")


def test_a_grant_is_held_exactly() -> None:
    """`wsauth:admin` is itself and nothing above, below or beside it; the roles' patterns still do not reach it."""
    roles = Roles({"everything": ["**", "*:revoke"]})
    alice = roles.resolve(Identity("alice", issuer=OWN_ISSUER, roles=["everything"], grants=["wsauth:admin"]))
    assert alice.names == ("**", "*:revoke", "wsauth:admin")
    assert alice.allow("wsauth:admin")
    assert alice.allow("chat:lobby")
    for name in ("wsauth:", "wsauth:revoke", "wsauth:admin:users", "wsauth:*", "wsauth:**"):
        assert not alice.allow(name)


def test_who_is_granted_nothing_shares_no_verdict_with_who_is() -> None:
    """Bob has Alice's roles and names, and was resolved after her."""
    roles = Roles({"member": ["chat:*:read"]})
    alice = Identity("alice", issuer=OWN_ISSUER, roles=["member"], grants=["wsauth:admin"])
    assert "wsauth:admin" in roles.resolve(alice)
    assert "wsauth:admin" not in roles.resolve(Identity("bob", issuer=OWN_ISSUER, roles=["member"]))
    assert "wsauth:revoke" not in roles.resolve(alice)


def test_a_permission_of_our_own_user_is_no_grant() -> None:
    """Only grants reach what is reserved, whoever the issuer is."""
    mallory = Identity("mallory", issuer=OWN_ISSUER, roles=["wsauth:admin"], permissions=["wsauth:admin"])
    assert "wsauth:admin" not in Roles({}).resolve(mallory)


def test_resolving_is_remembered_and_bounded() -> None:
    """The same roles and names are compiled once, and ever new ones do not fill the memory."""
    roles = Roles({"member": ["chat:*:read"]})
    alice = roles.resolve(Identity("alice", issuer="i", roles=["member"]))
    assert roles.resolve(Identity("bob", issuer="i", roles=["member"])) is alice
    for number in range(1100):
        roles.resolve(Identity("mallory", issuer="i", permissions=[f"p{number}"]))
    assert roles.resolve(Identity("bob", issuer="i", roles=["member"])) is not alice


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("", "empty segment"),
        ("chat::read", "empty segment"),
        (":read", "empty segment"),
        ("wsauth:admin", "never a role's"),
        ("wsauth", "never a role's"),
        ("chat:lob*", "whole segment"),
        ("chat:***", "whole segment"),
    ],
)
def test_a_bad_entry_is_named(entry: str, words: str) -> None:
    """A table that could not mean what it says is refused, with role and entry."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        Roles({"member": [entry]})
    assert repr(entry) in str(refused.value)
    assert "'member'" in str(refused.value)


def test_a_role_is_a_list() -> None:
    """One text instead of a list would be a list of letters."""
    with pytest.raises(ConfigurationError, match=r'write \["chat:read"\]'):
        Roles({"member": "chat:read"})


def test_a_role_includes_others() -> None:
    """With all that those include, patterns too; what is added to one reaches every role above it."""
    roles = Roles({"guest": ["chat:*:read"], "member": ["@guest", "chat:*:send"], "owner": ["@member", "chat:**"]})
    owner = roles.resolve(Identity("alice", issuer="i", roles=["owner"]))
    assert owner.names == ("chat:**", "chat:*:read", "chat:*:send")
    assert roles.resolve(Identity("alice", issuer="i", roles=["@guest"])).names == ()
    assert roles.resolve(Identity("alice", issuer="i", roles=["guest"], permissions=["@owner"])).names == (
        "@owner",
        "chat:*:read",
    )


def test_many_roles_that_include_each_other_twice() -> None:
    """Each is looked at once."""
    table = {f"r{n}": [f"@r{n - 1}", f"@r{n - 1}", f"p:{n}"] if n else ["p:0"] for n in range(200)}
    assert len(Roles(table).resolve(Identity("alice", issuer="i", roles=["r199"])).names) == 200


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a": ["@b"]}, "'a' includes 'b', and there is no such role"),
        ({"a": ["@a"]}, "'a' includes itself"),
        ({"a": ["@b"], "b": ["@c"], "c": ["@a"]}, "'a' includes itself, by a and b and c"),
        ({"a": ["@"]}, "there is no such role"),
    ],
)
def test_what_cannot_be_included_is_named(table: dict[str, list[str]], words: str) -> None:
    """A role that is not there, and a circle."""
    with pytest.raises(ConfigurationError, match=words):
        Roles(table)
