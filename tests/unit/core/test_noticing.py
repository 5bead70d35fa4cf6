"""What may be done about what was noticed, and what a jump in traffic is."""

import pytest

from wsauth.core.noticing import NOTICES, Traffic, actions
from wsauth.errors import ConfigurationError

MIB = 1024 * 1024


def test_an_alert_is_what_is_done_where_nothing_is_written() -> None:
    """A list that is written counts instead, also an empty one."""
    done = actions({"bad_messages": ["end_session"], "token_reuse": []})
    assert (done["bad_messages"], done["token_reuse"]) == (("end_session",), ())
    assert {done[what] for what in NOTICES if what not in ("bad_messages", "token_reuse")} == {("alert",)}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"password_guessed": ["alert"]}, "'password_guessed' is none of login_failures, many_accounts"),
        ({"bad_messages": ["kick"]}, "bad_messages: 'kick' is none of block, end_session, alert"),
        ({"login_failures": ["end_session"]}, "login_failures: whoever guesses has no session"),
        ({"many_accounts": ["alert", "end_session"]}, "many_accounts: whoever guesses has no session"),
    ],
)
def test_what_cannot_be_done_is_told(written: dict[str, list[str]], said: str) -> None:
    """Above all nobody can have an owner logged out by guessing."""
    with pytest.raises(ConfigurationError, match=said):
        actions(written)


def looked(*totals: int) -> Traffic:
    """Look at a connection that has sent so many bytes, look after look."""
    first, *rest = totals
    traffic = Traffic(first)
    for total in rest:
        traffic = traffic.then(total)
    return traffic


@pytest.mark.parametrize(
    ("before", "total", "jumps"),
    [
        ((0, 1000, 2000, 3000), 3000 + 2 * MIB, True),
        ((0, 1000, 2000), 2000 + 2 * MIB, False),
        ((0, 1000, 2000, 3000), 3000 + MIB - 1, False),
        ((0, MIB, 2 * MIB, 3 * MIB), 5 * MIB, False),
        ((0, 0, 0, 0), MIB, True),
        ((0, 0, 0, 0, MIB, 2 * MIB, 3 * MIB), 4 * MIB, False),
    ],
    ids=["far more than usual", "nothing is usual yet", "too little to matter", "busy as ever", "out of silence", "on"],
)
def test_a_jump_is_far_more_than_usual(before: tuple[int, ...], total: int, jumps: bool) -> None:
    """Twenty times what usually comes between two looks, and a MiB at least."""
    assert looked(*before).jumps(total) is jumps
