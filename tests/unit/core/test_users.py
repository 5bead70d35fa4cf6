"""Our own users: their names, and what is never shown of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.users import USERNAME_LIMIT, User, check_username, fold
from wsauth.errors import ConfigurationError


@pytest.mark.parametrize(
    ("one", "other"),
    [("Alice", "alice"), ("ALICE", "alice"), ("straße", "STRASSE"), ("ﬁsh", "fish"), ("\uff21lice", "alice")],
)
def test_names_that_warn_of_proxy_are_one(one: str, other: str) -> None:
    """Case, width and ligatures make no second user."""
    assert fold(one) == fold(other)


@given(st.text(max_size=30))
def test_folding_twice_changes_nothing(name: str) -> None:
    """The folded form of a folded name is itself, so that it can be a key."""
    assert fold(fold(name)) == fold(name)


@pytest.mark.parametrize("name", ["alice", "Zoë", "алиса", "a b", "a" * USERNAME_LIMIT, "bob@example.com"])
def test_names_that_people_have_are_taken(name: str) -> None:
    """Letters of every script, blanks inside and addresses are names."""
    assert check_username(name) == name


@pytest.mark.parametrize("name", ["", " alice", "alice ", "a\nb", "a\x00", "a" * (USERNAME_LIMIT + 1), "\u202ealice"])
def test_names_that_nobody_can_type_are_refused(name: str) -> None:
    """Empty, too long, unprintable, or with blanks at the ends: no name."""
    with pytest.raises(ConfigurationError, match="username"):
        check_username(name)


def test_a_user_shows_no_hash() -> None:
    """What is logged of a user does not help to guess the password."""
    assert "argon2" not in repr(User(username="alice", password_hash="$argon2id$v=19$m=1,t=1,p=1$x$y"))
