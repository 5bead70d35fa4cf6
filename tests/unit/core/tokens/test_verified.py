"""Tokens found good a moment ago."""

from wsauth.core.identity import Identity
from wsauth.core.tokens.verified import VerifiedTokens

ALICE = Identity("alice", issuer="https://login.example.com")
BOB = Identity("bob", issuer="https://login.example.com")


def test_a_verdict_ends_on_time() -> None:
    """An entry answers until its end, not at it, and is then gone."""
    verified = VerifiedTokens()
    verified.put("t", ALICE, 100.0)
    assert verified.get("t", 99.999) is ALICE
    assert verified.get("t", 100.0) is None
    assert len(verified) == 0


def test_the_least_recently_used_goes_first() -> None:
    """A full store lets go of the token that nobody asked for."""
    verified = VerifiedTokens(capacity=2)
    verified.put("a", ALICE, 100.0)
    verified.put("b", BOB, 100.0)
    assert verified.get("a", 0.0) is ALICE
    verified.put("c", BOB, 100.0)
    assert [verified.get(token, 0.0) for token in "abc"] == [ALICE, None, BOB]


def test_clearing_forgets_everything() -> None:
    """After a key is taken away no verdict is left."""
    verified = VerifiedTokens()
    verified.put("a", ALICE, 100.0)
    verified.clear()
    assert verified.get("a", 0.0) is None


def test_text_that_is_no_utf8_is_just_not_known() -> None:
    """Half of a surrogate pair in a presented text raises nothing."""
    assert VerifiedTokens().get("\ud800", 0.0) is None
