"""What is revoked, and what has changed about users, as a process holds it in memory."""

import pytest

from tests.unit.services.ground import row
from wsauth.core.feed import Row, pair_key
from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.errors import Refused
from wsauth.services.connections.revocations import Revocations

NOW = 1_800_000_000.0
LOGIN = "https://login.example.com"


def holding(*rows: Row) -> Revocations:
    """Return revocations that have taken in these rows."""
    revocations = Revocations()
    for each in rows:
        revocations.apply(each, NOW)
    return revocations


def ours(epoch: int = 1, *, session: str | None = "s", **changes: object) -> Identity:
    """Return Alice as one of our own access tokens has her."""
    claims = {"iat": NOW, "epoch": epoch, **changes}
    return Identity(
        "alice", issuer=OWN_ISSUER, roles=["owner"], grants=["wsauth:admin"], session_id=session, claims=claims
    )


def theirs(iat: float | None = NOW) -> Identity:
    """Return Alice as somebody else's token has her."""
    return Identity("alice", issuer=LOGIN, session_id="s", token_id="t", claims={} if iat is None else {"iat": iat})


def code(found: Refused | None) -> str:
    """Return why it is dead; empty while it is not."""
    return "" if found is None else found.code


def test_whom_a_password_change_carried_stays_when_rights_change() -> None:
    """A row that changes rights later names no carried session; the session's tokens of before live on."""
    password = row("user", "alice", seq=5, carried="s", roles=["owner"], grants=[])
    rights = row("user", "alice", seq=7, epoch=5, roles=["member"], grants=[])
    for revocations in (holding(password, rights), holding(rights, password)):
        assert revocations.check(ours(1), NOW) is None
        assert code(revocations.check(ours(1, session="other"), NOW)) == "session_revoked"
        assert code(revocations.check(ours(1, session=None), NOW)) == "token_revoked"
        assert revocations.overlay(ours(1)).roles == ("member",)


def test_whom_one_change_carried_the_next_end_ends() -> None:
    """A logout everywhere after the password change spares nobody; nor does a change by another session."""
    password = row("user", "alice", seq=5, carried="s")
    for later in (row("user", "alice", seq=9), row("user", "alice", seq=9, carried="other")):
        for revocations in (holding(password, later), holding(later, password)):
            assert code(revocations.check(ours(5), NOW)) == "session_revoked"
            assert revocations.check(ours(9), NOW) is None


def test_an_old_row_about_rights_changes_nothing_back() -> None:
    """Of two rows about rights the larger number counts, in whichever order they come, and as often as they come."""
    first = row("user", "alice", seq=5, epoch=1, roles=["member"], grants=["wsauth:revoke"])
    second = row("user", "alice", seq=6, epoch=1, roles=["owner", "guest"], grants=[])
    for rows in ((first, second), (second, first), (first, second, first, first)):
        overlaid = holding(*rows).overlay(ours())
        assert overlaid.roles == ("owner", "guest")
        assert overlaid.grants == ()


def test_rights_are_laid_over_tokens_and_never_over_fixed_ones() -> None:
    """Tokens already issued have the rights of now; those issued by hand with roles, and foreign ones, keep theirs."""
    revocations = holding(row("user", "alice", seq=5, epoch=1, roles=["member"], grants=["wsauth:tickets"]))
    overlaid = revocations.overlay(ours())
    assert (overlaid.roles, overlaid.grants) == (("member",), ("wsauth:tickets",))
    fixed, foreign = ours(fixed=True), theirs()
    assert revocations.overlay(fixed) is fixed
    assert revocations.overlay(foreign) is foreign


def test_a_foreign_epoch_is_no_epoch() -> None:
    """Somebody else's token that says `epoch` is not spared by it."""
    claims = {"epoch": 10**9, "iat": NOW}
    identity = Identity("alice", issuer=LOGIN, claims=claims)
    subject = row("subject", pair_key(LOGIN, "alice"), until=NOW)
    assert code(holding(subject).check(identity, NOW)) == "token_revoked"
    assert code(holding(row("all", seq=9, until=NOW)).check(identity, NOW)) == "token_revoked"


@pytest.mark.parametrize(("issued_at", "dead"), [(NOW - 1, True), (NOW, True), (NOW + 1, False), (None, True)], ids=str)
def test_what_was_issued_until_then_is_dead(issued_at: float | None, dead: bool) -> None:
    """A subject's credentials of before, of the same second, and of nobody knows when."""
    found = holding(row("subject", pair_key(LOGIN, "alice"), until=NOW)).check(theirs(issued_at), issued_at)
    assert (found is not None) == dead


def test_the_end_of_everything_ends_epochs_before_it() -> None:
    """The number of the row is the epoch from which logins count again."""
    revocations = holding(row("all", seq=9, until=NOW))
    assert code(revocations.check(ours(8), NOW)) == "session_revoked"
    assert revocations.check(ours(9), NOW) is None


def test_a_row_about_one_concerns_no_other() -> None:
    """Sessions, tokens, subjects and users that are named alike elsewhere live on."""
    revocations = holding(
        row("session", "another"),
        row("token", pair_key(OWN_ISSUER, "t")),
        row("subject", pair_key(OWN_ISSUER, "alice"), until=NOW + 99),
        row("user", "Alice", seq=9),
    )
    assert revocations.check(theirs(), NOW) is None
    assert revocations.check(ours(), NOW) is None


def test_nothing_is_forgotten_before_its_time_and_everything_after() -> None:
    """While new rows come, live ones stay whatever their number, and ended ones go."""
    revocations = holding(row("session", "s", keep_until=NOW + 60))
    for number in range(5000):
        revocations.apply(row("session", f"other-{number}", keep_until=NOW + 60), NOW + 59)
    assert code(revocations.check(ours(), NOW)) == "session_revoked"
    for number in range(20_000):
        revocations.apply(row("session", f"later-{number}", keep_until=NOW + 120), NOW + 61 + number // 200)
    assert len(revocations) < 20_002
    assert revocations.check(ours(), NOW) is None
