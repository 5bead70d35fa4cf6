"""A password that its owner changes: their session is carried, every other one ends."""

import asyncio
from pathlib import Path

import pytest

from tests.unit.services.ground import CHANGED, PASSWORD, Ground, ground, refused
from wsauth.core.sessions import SessionKind
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known


@pytest.mark.parametrize("kind", ["tokens", "cookie"])
async def test_who_changes_the_password_goes_on_and_nobody_else(it: Ground, kind: SessionKind) -> None:
    """The session that changed it is carried, with its refresh token or a new cookie; the others are dead."""
    await it.alice()
    mine = await it.sessions.login("alice", PASSWORD, kind)
    others = await it.sessions.login("alice", PASSWORD, "tokens")
    cookie = it.sessions.cookie(mine.session)
    carried = await it.change_password(mine)
    assert carried.session.epoch == carried.user.epoch > mine.session.epoch
    assert [session.id for session in await it.sessions.of("Alice")] == [mine.session.id]
    assert await refused(it.sessions.refresh(it.sessions.refresh_token(others.session))) == "session_revoked"
    if kind == "tokens":
        await it.sessions.refresh(it.sessions.refresh_token(mine.session))
    else:
        assert await refused(it.sessions.of_cookie(cookie)) == "session_revoked"
        assert await it.sessions.of_cookie(it.sessions.cookie(carried.session)) is not None
    assert await refused(it.sessions.login("alice", PASSWORD, "tokens")) == "credentials_invalid"
    await it.sessions.login("alice", CHANGED, "tokens")


async def test_a_new_cookie_is_good_where_the_change_is_not_yet_known(tmp_path: Path, it: Ground) -> None:
    """Another process remembers the session as it was; the cookie of the new generation proves the change to it."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "cookie")
    async with ground(tmp_path, it.clock) as other:
        assert await other.sessions.of_cookie(it.sessions.cookie(known.session)) is not None
        carried = await it.change_password(known)
        assert await other.sessions.of_cookie(it.sessions.cookie(carried.session)) == carried
        assert await refused(other.sessions.of_cookie(it.sessions.cookie(known.session))) == "session_revoked"


async def test_of_two_password_changes_at_once_one_counts(it: Ground) -> None:
    """Two sessions change it in the same moment: one is carried, the other is told that it lost."""
    await it.alice()
    mine = await it.sessions.login("alice", PASSWORD, "tokens")
    other = await it.sessions.login("alice", PASSWORD, "tokens")
    outcomes = await asyncio.gather(
        it.change_password(mine, new=CHANGED), it.change_password(other, new=CHANGED + "!"), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, Known)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert [no.code for no in lost] == ["conflict"]
    assert [session.id for session in await it.sessions.of("Alice")] == [won[0].session.id]


async def test_a_wrong_old_password_changes_nothing(it: Ground) -> None:
    """Mallory sits at Alice's open page, does not know the password, and sets none."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "cookie")
    assert await refused(it.change_password(known, old=CHANGED, new=CHANGED + "!")) == "credentials_invalid"
    await it.sessions.login("alice", PASSWORD, "tokens")
    assert await it.sessions.find(known.session.id) == known


async def test_a_session_that_ended_cannot_change_the_password(it: Ground) -> None:
    """The session ends while the new password is hashed; the password stays."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    await it.store.sessions.end(known.session.id)
    assert await refused(it.change_password(known)) == "conflict"
    await it.sessions.login("alice", PASSWORD, "tokens")
