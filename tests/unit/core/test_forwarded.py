"""The headers that tell what is behind us who somebody is."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.forwarded import identity_headers
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.permissions import Permissions

ALICE = Identity("alice", issuer="https://login.example.com", roles=("member", "a,b"), session_id="s1")


def test_everything_that_is_known_is_said() -> None:
    """Issuer, subject, session, roles and permissions are headers of their own."""
    assert identity_headers(ALICE, Permissions(("chat:send", "chat:*:read"))) == [
        ("X-Wsauth-Issuer", "https://login.example.com"),
        ("X-Wsauth-Subject", "alice"),
        ("X-Wsauth-Session", "s1"),
        ("X-Wsauth-Roles", "member,a%2Cb"),
        ("X-Wsauth-Permissions", "chat:*:read,chat:send"),
    ]


def test_nobody_has_no_subject() -> None:
    """An anonymous connection has roles and permissions, and neither subject nor issuer."""
    names = [name for name, _ in identity_headers(NOBODY, Permissions(("ticker:read",)))]
    assert names == ["X-Wsauth-Roles", "X-Wsauth-Permissions"]


def test_without_a_session_there_is_no_session_header() -> None:
    """A token that belongs to no session has no header for one."""
    bob = Identity("bob", issuer="shop")
    assert "X-Wsauth-Session" not in dict(identity_headers(bob, Permissions(())))


def test_what_is_too_long_is_left_out_and_said_to_be() -> None:
    """A header over 4 KiB is left out, and the one that says so names it."""
    many = Identity("bob", issuer="shop", roles=[f"role-{number}" for number in range(1000)])
    headers = dict(identity_headers(many, Permissions(())))
    assert "X-Wsauth-Roles" not in headers
    assert headers["X-Wsauth-Truncated"] == "X-Wsauth-Roles"


def test_what_is_too_long_of_nobody_is_left_out_too() -> None:
    """Nobody may have many permissions."""
    headers = dict(identity_headers(NOBODY, Permissions(f"ticker:{number}:read" for number in range(1000))))
    assert headers == {"X-Wsauth-Roles": "anonymous", "X-Wsauth-Truncated": "X-Wsauth-Permissions"}


def test_claims_stand_behind_and_obey_the_same_limit() -> None:
    """All that is left out is named in one header."""
    claims = [("X-Email", "a@b.example"), ("X-Long", "x" * 4097), ("X-Just", "x" * 4096)]
    headers = identity_headers(ALICE, Permissions(()), claims)
    assert headers[-3:] == [claims[0], claims[2], ("X-Wsauth-Truncated", "X-Long")]


def test_half_of_a_surrogate_pair_is_nobody_elses_name() -> None:
    """It has no UTF-8, and is encoded all the same."""
    broken, mark = (
        dict(identity_headers(Identity(name, issuer="shop"), Permissions(()))) for name in ("a\ud800", "a?")
    )
    assert broken["X-Wsauth-Subject"] == "a%ED%A0%80"
    assert broken["X-Wsauth-Subject"] != mark["X-Wsauth-Subject"]


@pytest.mark.parametrize("subject", ["a\r\nX-Wsauth-Roles: admin", "zoë", "100%", "a b", "\x00"])
def test_no_subject_can_forge_a_header(subject: str) -> None:
    """Whatever is not visible ASCII is percent-encoded, and so are commas and percent signs."""
    value = dict(identity_headers(Identity(subject, issuer="shop"), Permissions(())))["X-Wsauth-Subject"]
    assert value.isascii()
    assert value.isprintable()
    assert " " not in value
    assert unquote(value) == subject


@given(st.lists(st.text(min_size=1).filter(lambda name: name.encode("utf-8", "ignore").decode() == name), max_size=5))
def test_a_list_can_be_taken_apart_again(roles: list[str]) -> None:
    """Splitting at commas and decoding gives back exactly the roles."""
    written = dict(identity_headers(Identity("a", issuer="b", roles=roles), Permissions(())))["X-Wsauth-Roles"]
    assert [unquote(part) for part in written.split(",") if part] == roles
