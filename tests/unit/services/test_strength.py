"""How easily a new password is guessed."""

import time

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from wsauth.services.strength import weaknesses


@pytest.mark.parametrize("common", ["password", "123456789", "qwertyuiop", "Password", "iloveyou", "trustno1"])
def test_pw_09_the_most_common_are_refused_whatever_is_asked(common: str) -> None:
    """PW-09: a password of the lists of breaches is refused, also where no strength is asked for."""
    assert weaknesses(common, "alice", 0) == ["It is one of the most common passwords"]


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("alicealicealice1", "the username"),
        ("a horse of ALICE and a battery", "the username"),
        ("the wsauth of a battery horse", "the name wsauth"),
        ("aaaaaaaaaaaaaaaaaaaa", "repetition"),
        ("abcdefghijklmnop", "a sequence"),
        ("password1234567", "a common password"),
    ],
)
def test_weak_ones_are_refused_with_the_reason(password: str, reason: str) -> None:
    """PW-09 and PW-07: what it is built on is said, and the password is not repeated."""
    found = weaknesses(password, "alice", 3)
    assert any(reason in each for each in found)
    assert not any(password in each for each in found)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "twenty lower case letters",
        "🐴🔋📎🌵🎻🚲🧊🪁🐙🎲🪐🥝🧵🛶🦉",
        "a long sentence of many words that nobody else has typed before, which goes on and on " * 2,
    ],
)
def test_strong_ones_need_no_class_of_characters(password: str) -> None:
    """PW-07: words, spaces and emoji are enough; over a hundred characters are fine."""
    assert weaknesses(password, "alice", 3) == []


def test_characters_that_stand_for_letters_take_no_longer() -> None:
    """The library tries every reading of such characters, which took 7 s for these; they are read as what they mean."""
    used = time.thread_time()
    weaknesses("4@8({[<36917!|1$5+7%20" * 4, "alice", 3)
    assert time.thread_time() - used < 1.0
    assert weaknesses("p@$$w0rd1234567", "alice", 3)


def test_every_listed_password_is_refused() -> None:
    """All 30,000 of the list are refused in any case of letters, not only those that the library takes for words."""
    listed = FREQUENCY_LISTS["passwords"]
    assert len(listed) >= 3_000
    assert all(weaknesses(each.upper(), "", 0) for each in listed)
