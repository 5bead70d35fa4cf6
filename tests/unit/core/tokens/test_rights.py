"""Roles and permissions out of claims."""

from typing import Any

import pytest

from wsauth.core.tokens.rights import at, permissions_in, role_map, roles_in
from wsauth.errors import ConfigurationError


def test_a_claim_of_exactly_that_name_wins() -> None:
    """A name with dots in it is found before the path is tried."""
    name = "https://example.com/roles"
    assert at({name: ["a"], "https://example": {"com/roles": ["b"]}}, name) == ["a"]
    assert at({"realm_access": {"roles": ["b"]}}, "realm_access.roles") == ["b"]


@pytest.mark.parametrize("claims", [{}, {"a": {}}, {"a": "b"}, {"a": ["b"]}, {"a": None}, {"a": {"b": None}}])
def test_a_path_that_leads_nowhere_is_none(claims: dict[str, Any]) -> None:
    """A missing step, or one that is no object, is no claim."""
    assert at(claims, "a.b") is None


@pytest.mark.parametrize(
    ("configured", "theirs", "ours"),
    [
        ({}, ["admin"], ()),
        ("*", ["admin", "user"], ("admin", "user")),
        ({"*": "*"}, ["admin"], ("admin",)),
        ({"realm-admin": "admin"}, ["realm-admin", "user"], ("admin",)),
        ({"a": ["x", "y"], "b": "y"}, ["a", "b"], ("x", "y")),
        ({"a": "x", "*": "*"}, ["a", "b"], ("x", "b")),
        ({"*": "member"}, ["a", "b"], ("member",)),
        ({"a": "x"}, "a", ("x",)),
        ("*", "a b", ("a b",)),
        ("*", ["wsauth:admin", "ok"], ("ok",)),
        ("*", ["a", 1], ()),
        ("*", ["a", ""], ()),
        ("*", {"a": True}, ()),
        ("*", 7, ()),
        ("*", None, ()),
        ("*", "", ()),
    ],
)
def test_their_roles_become_ours(configured: Any, theirs: Any, ours: tuple[str, ...]) -> None:
    """A role that is not in the map is dropped, `*` takes all, and nothing reserved comes through."""
    assert roles_in({"roles": theirs}, "roles", role_map(configured)) == ours


@pytest.mark.parametrize("configured", ["admin", 7, {"a": 1}, {"a": [1]}, {"a": ""}, {"a": "wsauth:admin"}])
def test_a_map_that_cannot_be_meant_is_refused(configured: Any) -> None:
    """A role map of another shape, or one that gives a reserved role, stops the start."""
    with pytest.raises(ConfigurationError, match="roles"):
        role_map(configured)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("read", ("read",)),
        ("read:all write", ("read:all", "write")),
        ("read read", ("read",)),
        ("read  write", ()),
        ("read\twrite", ()),
        (" read", ()),
        ("read ", ()),
        ("", ()),
        ('read "x"', ()),
        ("lésen", ()),
        (["read"], ()),
        ({"read": True}, ()),
        (7, ()),
        (None, ()),
        ("chat:*:read read", ("read",)),
        ("** *", ()),
        ("wsauth:admin read", ("read",)),
    ],
)
def test_scope_is_a_text_of_exact_tokens(value: Any, expected: tuple[str, ...]) -> None:
    """Only single spaces divide, patterns and reserved names are dropped, and other shapes grant nothing."""
    assert permissions_in({"scope": value}, "scope") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["read:all", "write"], ("read:all", "write")),
        (["chat:*", "wsauth:x", "read"], ("read",)),
        ("read write", ("read", "write")),
        (["read", 1], ()),
        ([], ()),
    ],
)
def test_other_claims_may_be_lists(value: Any, expected: tuple[str, ...]) -> None:
    """Auth0's `permissions` and Okta's `scp` are lists, and Entra's `scp` is a text."""
    assert permissions_in({"permissions": value}, "permissions") == expected


def test_scp_is_not_read_when_scope_is_asked_for() -> None:
    """Nothing stands for the configured claim when that is missing."""
    assert permissions_in({"scp": "read"}, "scope") == ()
