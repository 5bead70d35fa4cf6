"""Sessions over a real store: opened, carried on, ended, and what is remembered of them."""

import asyncio

import pytest

from tests.unit.services.ground import CHANGED, HOUR, LIMITS, PASSWORD, Ground, refused, row
from wsauth.core.events import TokenReused
from wsauth.core.sessions import Session
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known


def forged(value: str) -> list[str]:
    """Return values that look like this proof and are not."""
    prefix, session_id, generation, tag = value.split(".")
    flipped = ("B" if tag[0] == "A" else "A") + tag[1:]
    return [
        f"{prefix}.{session_id}.{generation}.{flipped}",
        f"{prefix}.{session_id}.{int(generation) + 1}.{tag}",
        f"{prefix}.{session_id[::-1]}.{generation}.{tag}",
        f"{'wsc' if prefix == 'wsr' else 'wsr'}.{session_id}.{generation}.{tag}",
        f"{prefix}.{session_id}.0{generation}.{tag}",
        f"{prefix}.{session_id}.{generation}.{tag[:-1]}",
        f"{prefix}.{session_id}.{generation}.{tag} ",
        value.upper(),
        "",
        "x" * 10_000,
    ]


# Opening.


@pytest.mark.parametrize("username", ["nobody", "", "Mallory", "x" * 5000, "al\x00ice", "' OR 1=1 --"])
async def test_whoever_is_not_there_gets_the_answer_of_a_wrong_password(it: Ground, username: str) -> None:
    """Names that nobody has, in whatever form, are refused like a wrong password."""
    await it.alice()
    assert await refused(it.sessions.login(username, PASSWORD, "tokens")) == "credentials_invalid"
    assert await refused(it.sessions.login("Alice", CHANGED, "tokens")) == "credentials_invalid"


async def test_a_disabled_user_gets_no_session(it: Ground) -> None:
    """Alice is disabled, knows her password, and gets the answer of a wrong one; enabled again she comes in."""
    await it.alice()
    await it.users.disable("alice")
    assert await refused(it.sessions.login("alice", PASSWORD, "tokens")) == "credentials_invalid"
    await it.users.enable("alice")
    assert (await it.sessions.login("alice", PASSWORD, "tokens")).user.username == "Alice"


async def test_a_service_has_no_password(it: Ground) -> None:
    """An API key is no password, and no password at all opens a session of a service."""
    _, key = await it.users.add_service("robot")
    for password in (key, "", PASSWORD):
        assert await refused(it.sessions.login("robot", password, "tokens")) == "credentials_invalid"


async def test_a_first_password_ends_after_a_day_unless_it_was_used(it: Ground) -> None:
    """Bob uses his in time and keeps it; Alice comes a day late."""
    _, bobs = await it.users.add_with_first_password("bob")
    _, alices = await it.users.add_with_first_password("alice")
    await it.sessions.login("bob", bobs, "tokens")
    it.clock.advance(24 * HOUR)
    await it.sessions.login("bob", bobs, "tokens")
    assert await refused(it.sessions.login("alice", alices, "tokens")) == "credentials_invalid"


class Held:
    """Be a store of users or sessions that is slow at one method: it waits before or after, as the test says."""

    def __init__(self, store: object, method: str) -> None:
        self._store = store
        self._method = method
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        real = getattr(self._store, name)
        if name != self._method:
            return real

        async def slowly(*arguments: object, **named: object) -> object:
            found = await real(*arguments, **named)
            self.reached.set()
            await self.go_on.wait()
            return found

        return slowly


@pytest.mark.parametrize("change", ["disable", "remove", "password", "logout"])
async def test_a_login_that_a_change_overtakes_opens_nothing(it: Ground, change: str) -> None:
    """The user is read, then changed, then the session would open: it does not."""
    await it.alice()
    held = Held(it.store.users, "find")
    it.sessions._users = held  # type: ignore[assignment]  # the real store, at another speed
    login = asyncio.ensure_future(it.sessions.login("alice", PASSWORD, "tokens"))
    await held.reached.wait()
    if change == "disable":
        await it.users.disable("alice")
    elif change == "remove":
        await it.users.remove("alice")
    elif change == "password":
        await it.users.set_password("alice", CHANGED)
    else:
        await it.store.users.end_logins("alice")
    held.go_on.set()
    assert await refused(login) == "credentials_invalid"
    assert await it.sessions.of("Alice") == []


# Going on.


async def test_fifty_tabs_with_one_token_have_one_successor(it: Ground) -> None:
    """All fifty get the same next token, and that one goes on."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    token = it.sessions.refresh_token(known.session)
    done = await asyncio.gather(*(it.sessions.refresh(token) for _ in range(50)))
    successors = {it.sessions.refresh_token(after.session) for after in done}
    assert len(successors) == 1
    assert token not in successors
    assert (await it.sessions.refresh(successors.pop())).session.generation == 2


async def test_two_tabs_stay_signed_in_for_an_hour(it: Ground) -> None:
    """Two tabs share a refresh token and wake together or within the grace, over and over; no one is signed out."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    token = it.sessions.refresh_token(known.session)
    for wake in range(60):
        first = await it.sessions.refresh(token)
        it.clock.advance(wake % 20)
        second = await it.sessions.refresh(token)
        assert it.sessions.refresh_token(first.session) == it.sessions.refresh_token(second.session)
        token = it.sessions.refresh_token(second.session)
        it.clock.advance(60)


@pytest.mark.parametrize("when", ["after the grace", "after its successor was used", "an old one"])
async def test_a_stolen_token_ends_the_session(it: Ground, when: str) -> None:
    """A refresh token that comes back too late ends the session for thief and owner, and says so."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    stolen = it.sessions.refresh_token(known.session)
    newest = it.sessions.refresh_token((await it.sessions.refresh(stolen)).session)
    if when == "after the grace":
        it.clock.advance(LIMITS.grace)
    else:
        newest = it.sessions.refresh_token((await it.sessions.refresh(newest)).session)
    if when == "an old one":
        it.clock.advance(5 * 86_400)
        newest = it.sessions.refresh_token((await it.sessions.refresh(newest)).session)
    assert await refused(it.sessions.refresh(stolen)) == "session_revoked"
    assert await refused(it.sessions.refresh(newest)) == "session_revoked"
    assert [type(event) for event in it.told if isinstance(event, TokenReused)] == [TokenReused]
    assert await it.sessions.find(known.session.id) is None


async def test_forged_proofs_are_nobodys_and_end_nothing(it: Ground) -> None:
    """Mallory changes single parts of a token and a cookie; nothing opens and Alice's sessions live on."""
    await it.alice()
    tokens = await it.sessions.login("alice", PASSWORD, "tokens")
    cookie = await it.sessions.login("alice", PASSWORD, "cookie")
    for value in forged(it.sessions.refresh_token(tokens.session)):
        assert await refused(it.sessions.refresh(value)) == "token_invalid"
    for value in forged(it.sessions.cookie(cookie.session)):
        assert await it.sessions.of_cookie(value) is None
    await it.sessions.refresh(it.sessions.refresh_token(tokens.session))
    assert await it.sessions.of_cookie(it.sessions.cookie(cookie.session)) == cookie


async def test_a_proof_of_another_kind_opens_nothing(it: Ground) -> None:
    """The id of a cookie's session, proven as a refresh token, rotates nothing: proofs are of one kind each."""
    await it.alice()
    cookie = await it.sessions.login("alice", PASSWORD, "cookie")
    with pytest.raises(Refused):
        await it.sessions.refresh(it.sessions.cookie(cookie.session))
    assert await it.sessions.of_cookie(it.sessions.refresh_token(cookie.session)) is None


async def test_sessions_end_by_idleness_and_by_age(it: Ground) -> None:
    """A token unused for seven days is dead; one used daily is dead after thirty."""
    await it.alice()
    idle = await it.sessions.login("alice", PASSWORD, "tokens")
    busy = await it.sessions.login("alice", PASSWORD, "tokens")
    for _ in range(7):
        it.clock.advance(86_400)
        if LIMITS.ends_at(busy.session) > it.clock.now():
            busy = await it.sessions.refresh(it.sessions.refresh_token(busy.session))
    assert await refused(it.sessions.refresh(it.sessions.refresh_token(idle.session))) == "session_revoked"
    for _ in range(22):
        it.clock.advance(86_400)
        busy = await it.sessions.refresh(it.sessions.refresh_token(busy.session))
    it.clock.advance(86_400)
    assert await refused(it.sessions.refresh(it.sessions.refresh_token(busy.session))) == "session_revoked"


async def test_a_remembered_cookie_ends_in_time(it: Ground) -> None:
    """A cookie that is asked for every minute, without a refresh, ends with its idle time all the same."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "cookie")
    value = it.sessions.cookie(known.session)
    it.clock.advance(LIMITS.idle - 1)
    assert await it.sessions.of_cookie(value) == known
    it.clock.advance(1)
    assert await refused(it.sessions.of_cookie(value)) == "session_revoked"


async def test_touching_one_tab_keeps_the_other_signed_in(it: Ground) -> None:
    """Two tabs share a cookie; each touch counts for both, also where one of them had been remembered before it."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "cookie")
    value = it.sessions.cookie(known.session)
    for _ in range(4):
        assert await it.sessions.of_cookie(value) is not None
        it.clock.advance(LIMITS.idle - 1)
        await it.sessions.touch(known.session.id, known.session.generation)
    assert await it.sessions.of_cookie(value) is not None
    it.clock.advance(LIMITS.absolute - 4 * (LIMITS.idle - 1))
    assert await refused(it.sessions.of_cookie(value)) == "session_revoked"


# What is remembered.


async def test_what_a_row_ends_while_it_is_read_is_not_remembered(it: Ground) -> None:
    """The session is read, ended, its row comes, and only then is it remembered: it is not."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "cookie")
    value = it.sessions.cookie(known.session)
    held = Held(it.store.sessions, "find")
    it.sessions._sessions = held  # type: ignore[assignment]  # the real store, at another speed
    reading = asyncio.ensure_future(it.sessions.of_cookie(value))
    await held.reached.wait()
    await it.store.sessions.end(known.session.id)
    it.sessions.heed([row("session", known.session.id)])
    held.go_on.set()
    await asyncio.wait([reading])
    assert await refused(it.sessions.of_cookie(value)) == "session_revoked"


@pytest.mark.parametrize("kind", ["session", "user", "all"])
async def test_a_row_is_heeded(it: Ground, kind: str) -> None:
    """Whatever a row can be about, what it ends is asked for anew."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "cookie")
    value = it.sessions.cookie(known.session)
    assert await it.sessions.of_cookie(value) is not None
    if kind == "session":
        await it.store.sessions.end(known.session.id)
        it.sessions.heed([row("session", known.session.id)])
    elif kind == "user":
        await it.store.users.end_logins("alice")
        it.sessions.heed([row("user", "Alice")])
    else:
        await it.store.feed.revoke_all(it.clock.now(), 4e9, "order")
        it.sessions.heed([row("all")])
    assert await refused(it.sessions.of_cookie(value)) == "session_revoked"


async def test_memory_of_sessions_has_an_end(it: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many sessions that are asked for only the latest are remembered."""
    monkeypatch.setattr("wsauth.services.sessions._CACHED", 3)
    user = await it.alice()
    for number in range(10):
        session = Session(
            id=f"session-{number:016d}-padding",
            subject="Alice",
            kind="cookie",
            generation=0,
            generation_at=it.clock.now(),
            epoch=user.epoch,
            created_at=it.clock.now(),
            refreshed_at=it.clock.now(),
        )
        assert await it.store.sessions.open(session)
        assert await it.sessions.of_cookie(it.sessions.cookie(session)) is not None
    assert len(it.sessions._known) == 3


# Ending.


async def test_only_its_own_user_ends_a_session_by_name(it: Ground) -> None:
    """Mallory knows the id of Alice's session, and ends nothing with it."""
    await it.alice()
    await it.users.add("mallory", PASSWORD)
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    assert not await it.sessions.end(known.session.id, subject="mallory")
    assert await it.sessions.find(known.session.id) is not None
    assert await it.sessions.end(known.session.id, subject="Alice")
    assert not await it.sessions.end(known.session.id, subject="Alice")


async def test_a_login_in_the_second_of_a_logout_everywhere_is_ended_or_comes_after(it: Ground) -> None:
    """Logins and an end of all logins at once, with a clock that stands: who is told a session after it has one."""
    await it.alice()
    before = await it.sessions.login("alice", PASSWORD, "tokens")
    logins = [it.sessions.login("alice", PASSWORD, "tokens") for _ in range(8)]
    outcomes = await asyncio.gather(*logins[:4], it.sessions.end_all("alice"), *logins[4:], return_exceptions=True)
    user = await it.users.get("alice")
    live = {session.id for session in await it.sessions.of("Alice")}
    for outcome in outcomes:
        if isinstance(outcome, Known):
            assert (outcome.session.id in live) == (outcome.session.epoch == user.epoch)
        elif not isinstance(outcome, bool):
            assert isinstance(outcome, Refused)
    assert before.session.id not in live
    after = await it.sessions.login("alice", PASSWORD, "tokens")
    assert after.session.epoch == user.epoch


async def test_the_csrf_token_is_the_sessions_own(it: Ground) -> None:
    """Another session's token, a cut one and text that no MAC is are not it."""
    await it.alice()
    mine = await it.sessions.login("alice", PASSWORD, "cookie")
    other = await it.sessions.login("alice", PASSWORD, "cookie")
    token = it.sessions.csrf_token(mine.session.id)
    assert it.sessions.is_csrf_token(mine.session.id, token)
    for wrong in (it.sessions.csrf_token(other.session.id), token[:-1], "", "ä", token + "="):
        assert not it.sessions.is_csrf_token(mine.session.id, wrong)


async def test_handles_can_be_typed(it: Ground) -> None:
    """An id of a session or a key is never taken for an option of the command line."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    for handle in (known.session.id, it.signing.all()[0].key_id):
        assert int(handle, 16)
