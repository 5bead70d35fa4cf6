"""What a new password must be like."""

import pytest

from wsauth.core.passwords import reasons

TYPED = "correct horse battery"


def said(password: str, username: str = "Alice", minimum: int = 8, maximum: int = 64) -> list[str]:
    """Return what is wrong with a password of Alice."""
    return reasons(password, username=username, minimum=minimum, maximum=maximum)


@pytest.mark.parametrize(
    "password",
    [
        TYPED,
        "aaaaaaaa",
        "12345678",
        " " * 8,
        "  blanks at both ends  ",
        "пароль из слов",
        "\N{NO-BREAK SPACE}" * 8,
        "👩\N{ZERO WIDTH JOINER}👧" * 3,
        "می\N{ZERO WIDTH NON-JOINER}خواهم کار",
        "\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}" * 4,
        "x" * 64,
    ],
)
def test_no_kind_of_character_is_asked_for_or_forbidden(password: str) -> None:
    """Alice may take what she can type, in any script, with blanks wherever she likes."""
    assert said(password) == []


@pytest.mark.parametrize("letter", ["x", "é", "語", "🔑"])
def test_length_counts_in_characters(letter: str) -> None:
    """Both limits count code points, however many bytes one has."""
    assert said(letter * 8) == said(letter * 64) == []
    assert said(letter * 7) == ["It is too short: it needs at least 8 characters"]
    assert said(letter * 65) == ["It is too long: it may have at most 64 characters"]


@pytest.mark.parametrize(
    "character", ["\0", "\n", "\t", "\x7f", "\x85", "\u200b", "\u202e", "\ufeff", "\u2028", "\ud800"]
)
def test_what_cannot_be_seen_is_refused(character: str) -> None:
    """A control, a format character, a line end or half a character is refused and not removed."""
    assert said(f"correct{character}horse") == ["It contains a character that cannot be seen"]


@pytest.mark.parametrize("password", ["alice", "ALICE", "\N{FULLWIDTH LATIN SMALL LETTER A}lice", " Alice "])
def test_her_own_name_is_refused(password: str) -> None:
    """Whatever counts as Alice's name is no password of hers, but may be Bob's."""
    assert said(password, minimum=5) == ["It is the username"]
    assert said(password, username="bob", minimum=5) == []


def test_every_reason_is_told_at_once_and_none_repeats_the_password() -> None:
    """Alice learns all that is wrong in one answer, which may be logged."""
    found = said("alice", minimum=15)
    assert found == ["It is too short: it needs at least 15 characters", "It is the username"]
    assert not any("alice" in each for each in [*found, *said(TYPED + "\n"), *said(TYPED * 10)])
