"""Leases that live on because of what happens elsewhere, and those that must not."""

import asyncio
from base64 import b64encode
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from tests.races.world import LIMITS, PASSWORD, Face, Process, eventually, process
from wsauth.core.protocol.states import State
from wsauth.core.sessions import Limits
from wsauth.guard import Route
from wsauth.interfaces.sessions import Known
from wsauth.services.connections.extensions import Extensions
from wsauth.services.sessions import identity_of
from wsauth.testing import FakeClock


def ends_at(face: Face) -> float:
    """Return when the lease ends."""
    end = face.connection.expires_at
    assert end is not None
    return end


def types(face: Face) -> list[str]:
    """Return the types of the messages it got."""
    return [said["type"] for said in face.said]


def extensions(here: Process) -> Extensions:
    """Return what looks after leases; the test runs it itself, between its steps."""
    store = here.guard.backend.store
    assert store is not None

    async def lookup(ids: Collection[str]) -> Sequence[Known]:
        return await store.sessions.renewals(ids, here.local.limits, here.guard.backend.clock.now())

    here.guard.follower._seconds.clear()
    return Extensions(here.guard.connections, here.local.limits, lookup)


async def pass_seconds(clock: FakeClock, looked_after: Extensions, seconds: int) -> None:
    """Let time pass as a process sees it: each second the feed is heard, and leases are looked after."""
    for _ in range(seconds):
        clock.advance(1)
        looked_after._connections.heard_at = clock.now()
        await looked_after.run()


async def test_a_refreshed_cookie_is_extended_before_anybody_is_warned(here: Process, clock: FakeClock) -> None:
    """The session is refreshed over HTTP in time; its socket goes on for an hour and never hears `auth_expiring`."""
    looked_after = extensions(here)
    known = await here.login(kind="cookie")
    face = await here.connected(here.cookie(known.session))
    for _ in range(18):
        await pass_seconds(clock, looked_after, 200)
        await here.local.sessions.touch(known.session.id, 0)
    assert face.open
    assert "auth_expiring" not in types(face)


async def test_a_refresh_in_the_last_minute_extends_within_a_second(here: Process, clock: FakeClock) -> None:
    """Warned already, a socket is extended as soon as its session is refreshed; stale, it lives again."""
    looked_after = extensions(here)
    known = await here.login(kind="cookie")
    warned = await here.connected(here.cookie(known.session))
    await pass_seconds(clock, looked_after, 280)
    assert types(warned)[-1] == "auth_expiring"
    await pass_seconds(clock, looked_after, 22)
    assert warned.connection.machine.state is State.STALE
    await here.local.sessions.touch(known.session.id, 0)
    await pass_seconds(clock, looked_after, 1)
    assert warned.open
    assert types(warned)[-1] == "auth_success"


async def test_whoever_is_not_refreshed_ends(here: Process, clock: FakeClock) -> None:
    """A cookie's socket whose session nobody refreshes is warned and closed, although the session lives."""
    looked_after = extensions(here)
    known = await here.login(kind="cookie")
    face = await here.connected(here.cookie(known.session))
    await pass_seconds(clock, looked_after, 312)
    await face.settled()
    assert face.code == "token_expired"
    assert await here.local.sessions.find(known.session.id) is not None


async def test_api_keys_and_passwords_are_extended_while_unchanged(here: Process, clock: FakeClock) -> None:
    """A service and somebody who came by password stay for an hour; the password's session lives as long."""
    looked_after = extensions(here)
    _, key = await here.local.users.add_service("robot", roles=["member"])
    service = await here.connected(here.bearer(key))
    person = await here.connected(here.begin((b"authorization", b"Basic " + _basic("bob", PASSWORD))))
    for _ in range(12):
        await pass_seconds(clock, looked_after, 300)
    assert service.open
    assert person.open
    assert "auth_expiring" not in types(service) + types(person)
    session_id = person.connection.identity.session_id
    assert session_id is not None
    person.connection.gone(1001, "")
    store = here.guard.backend.store
    assert store is not None
    async with asyncio.timeout(5):
        while await store.sessions.find(session_id, LIMITS, clock.now()) is not None:  # noqa: ASYNC110  a store says nothing
            await asyncio.sleep(0.01)


def _basic(username: str, password: str) -> bytes:
    return b64encode(f"{username}:{password}".encode())


async def _connection_sessions(here: Process, username: str, clock: FakeClock) -> list[str]:
    store = here.guard.backend.store
    assert store is not None
    found = await store.sessions.of(username, LIMITS, clock.now())
    return [session.id for session in found if session.kind == "connection"]


async def _gone(here: Process, username: str, clock: FakeClock, kept: set[str]) -> None:
    async with asyncio.timeout(5):
        while set(await _connection_sessions(here, username, clock)) != kept:  # noqa: ASYNC110  a store says nothing
            await asyncio.sleep(0.01)


async def test_a_password_that_opens_no_connection_leaves_no_session(tmp_path: Path, clock: FakeClock) -> None:
    """Whoever lacks what the route requires has no session afterwards, and whoever is not the connection's neither."""
    async with process(tmp_path, clock, routes=[Route("/owners", require=["chat:1:send"])]) as here:
        await here.local.users.add("bob", PASSWORD, roles=["member"])
        await here.local.users.add("mallory", PASSWORD)
        refused = here.begin((b"authorization", b"Basic " + _basic("bob", PASSWORD)), path="/owners")
        await refused.settled()
        assert refused.code == "permission_denied"
        await _gone(here, "bob", clock, set())
        face = await here.connected(here.begin((b"authorization", b"Basic " + _basic("bob", PASSWORD))))
        own = str(face.connection.identity.session_id)
        face.say(type="auth", username="mallory", password=PASSWORD)
        await eventually(lambda: "auth_error" in types(face))
        await _gone(here, "mallory", clock, set())
        clock.advance(60)
        await eventually(lambda: not here.guard.follower.lost)
        face.say(type="auth", username="bob", password=PASSWORD)
        await eventually(lambda: face.connection.identity.session_id != own)
        await _gone(here, "bob", clock, {str(face.connection.identity.session_id)})


@pytest.mark.parametrize("how", ["rotated", "disabled"])
async def test_a_changed_service_is_not_extended(here: Process, clock: FakeClock, how: str) -> None:
    """The API key is replaced, or the service disabled: its sockets close, and the key opens nothing."""
    looked_after = extensions(here)
    _, key = await here.local.users.add_service("robot", roles=["member"])
    face = await here.connected(here.bearer(key))
    await pass_seconds(clock, looked_after, 290)
    if how == "rotated":
        report, new = await here.local.users.reset_key("robot")
        await here.connected(here.bearer(new))
    else:
        report = await here.local.users.disable("robot")
    assert (report.matched, report.closed) == (1, 1)
    assert face.code == "token_revoked"
    again = here.bearer(key)
    await again.settled()
    assert again.code == "token_invalid"


async def test_a_token_without_a_session_ends_at_its_end(here: Process, clock: FakeClock) -> None:
    """A socket opened with a cookie is renewed by a token made by hand; that token's end is the lease's, for good."""
    looked_after = extensions(here)
    known = await here.login(kind="cookie")
    face = await here.connected(here.cookie(known.session))
    user = await here.local.users.get("alice")
    face.say(type="auth", token=here.local.tokens.issue_by_hand("alice", ttl=400, user=user))
    await eventually(lambda: face.connection.identity.session_id is None)
    end = ends_at(face)
    await here.local.sessions.touch(known.session.id, 0)
    await pass_seconds(clock, looked_after, 399)
    assert ends_at(face) == end == face.connection.identity.expires_at


@pytest.mark.parametrize("from_key", [True, False])
async def test_a_ticket_lives_as_what_asked_for_it(here: Process, clock: FakeClock, from_key: bool) -> None:
    """A ticket of a session is extended by its refresh; one that an API key asked for is nobody's to extend."""
    looked_after = extensions(here)
    known = await here.login(kind="cookie")
    if from_key:
        _, key = await here.local.users.add_service("robot", roles=["member"])
        identity = (await here.connected(here.bearer(key))).connection.identity
    else:
        identity = identity_of(known, LIMITS)
    face = await here.connected(here.begin(query=f"ticket={await here.guard.issue_ticket(identity)}"))
    await pass_seconds(clock, looked_after, 200)
    await here.local.sessions.touch(known.session.id, 0)
    await pass_seconds(clock, looked_after, 115)
    await face.settled()
    assert (face.code == "token_expired") == from_key


async def test_a_ticket_of_a_connection_is_not_that_connection(here: Process) -> None:
    """A ticket for whoever came by password opens a socket that may go without ending their session."""
    first = await here.connected(here.begin((b"authorization", b"Basic " + _basic("bob", PASSWORD))))
    ticket = await here.guard.issue_ticket(first.connection.identity)
    second = await here.connected(here.begin(query=f"ticket={ticket}"))
    second.connection.gone(1001, "")
    await asyncio.sleep(0.3)
    assert first.open
    assert await here.local.sessions.find(str(first.connection.identity.session_id)) is not None


@pytest.mark.parametrize("follows", [True, False])
async def test_access_tokens_follow_their_session_where_asked(tmp_path: Path, clock: FakeClock, follows: bool) -> None:
    """With `follow_session` a refresh extends a socket opened with an access token; without it nothing does."""
    async with process(tmp_path, clock, routes=[Route("/ws", follow_session=follows)]) as here:
        looked_after = extensions(here)
        await here.local.users.add("alice", PASSWORD)
        known = await here.login()
        face = await here.connected(here.bearer(here.access(known)))
        end = ends_at(face)
        await pass_seconds(clock, looked_after, 270)
        await here.local.sessions.refresh(here.local.sessions.refresh_token(known.session))
        await pass_seconds(clock, looked_after, 2)
        assert (ends_at(face) > end) == follows


async def test_no_extension_passes_the_sessions_end_or_the_connections_age(tmp_path: Path, clock: FakeClock) -> None:
    """A session of ten minutes and a connection of fifteen: refreshed all the time, sockets end there."""
    limits = Limits(access=300.0, idle=400.0, absolute=600.0, grace=20.0)
    async with process(tmp_path, clock, limits=limits, routes=[Route("/aged", max_connection_age="15m")]) as here:
        looked_after = extensions(here)
        await here.local.users.add("alice", PASSWORD)
        _, key = await here.local.users.add_service("robot")
        begun = clock.now()
        known = await here.login(kind="cookie")
        cookie = await here.connected(here.cookie(known.session))
        aged = await here.connected(here.bearer(key, path="/aged"))
        for _ in range(5):
            await here.local.sessions.touch(known.session.id, 0)
            await pass_seconds(clock, looked_after, 110)
        assert ends_at(cookie) == begun + 600
        await pass_seconds(clock, looked_after, 355)
        assert cookie.code == "token_expired"
        assert ends_at(aged) == begun + 900


async def test_a_short_lease_is_not_extended_every_second(tmp_path: Path, clock: FakeClock) -> None:
    """With `access_ttl = "30s"` a service hears of some extensions in two minutes, not of one a second."""
    limits = Limits(access=30.0, idle=3600.0, absolute=86_400.0, grace=20.0)
    async with process(tmp_path, clock, limits=limits) as here:
        looked_after = extensions(here)
        _, key = await here.local.users.add_service("robot")
        face = await here.connected(here.bearer(key))
        await pass_seconds(clock, looked_after, 120)
        assert face.open
        assert "auth_expiring" not in types(face)
        assert 4 <= types(face).count("auth_success") <= 8


async def test_what_ended_while_the_store_was_asked_is_not_extended(here: Process, clock: FakeClock) -> None:
    """The store says that the sessions live; before that is heard one is revoked and one socket is somebody else's."""
    known, other = await here.login(kind="cookie"), await here.login(kind="cookie")
    revoked = await here.connected(here.cookie(other.session))
    renewed = await here.connected(here.cookie(known.session))
    here.guard.follower._seconds.clear()
    answered, go_on = asyncio.Event(), asyncio.Event()
    store = here.guard.backend.store
    assert store is not None

    async def lookup(ids: Collection[str]) -> Sequence[Known]:
        found = await store.sessions.renewals(ids, LIMITS, clock.now())
        answered.set()
        await go_on.wait()
        return found

    looked_after = Extensions(here.guard.connections, LIMITS, lookup)
    looked_after.watch(revoked.connection)
    looked_after.watch(renewed.connection)
    clock.advance(270)
    here.guard.connections.heard_at = clock.now()
    for session in (known.session, other.session):
        await here.local.sessions.touch(session.id, 0)
    user = await here.local.users.get("alice")
    looking = asyncio.ensure_future(looked_after.run())
    await answered.wait()
    await here.local.sessions.end(other.session.id)
    renewed.say(type="auth", token=here.local.tokens.issue_by_hand("alice", ttl=60, user=user))
    await eventually(lambda: renewed.connection.identity.session_id is None)
    end = ends_at(renewed)
    go_on.set()
    await looking
    assert revoked.code == "session_revoked"
    assert ends_at(renewed) == end == renewed.connection.identity.expires_at


async def test_what_the_store_says_too_late_extends_nothing(here: Process, clock: FakeClock) -> None:
    """The store takes so long to answer that the feed is lost meanwhile; nothing is granted on its word."""
    known = await here.login(kind="cookie")
    face = await here.connected(here.cookie(known.session))
    end = ends_at(face)
    here.stop_hearing()
    here.guard.follower._seconds.clear()
    slow = 6.0

    async def lookup(ids: Collection[str]) -> Sequence[Known]:
        clock.advance(slow)
        return [refreshed]

    looked_after = Extensions(here.guard.connections, LIMITS, lookup)
    looked_after.watch(face.connection)
    clock.advance(270)
    refreshed = await here.local.sessions.touch(known.session.id, 0)
    here.guard.connections.heard_at = clock.now()
    await looked_after.run()
    assert ends_at(face) == end
    slow, here.guard.connections.heard_at = 1.0, clock.now()
    await looked_after.run()
    assert ends_at(face) == end + 270


async def test_nothing_is_kept_of_connections_that_are_gone(here: Process, clock: FakeClock) -> None:
    """Thirty sockets come, are looked after, and go in different ways; nothing remembers them."""
    looked_after = extensions(here)
    known = await here.login(kind="cookie")
    faces = [await here.connected(here.cookie(known.session)) for _ in range(30)]
    for face in faces[:10]:
        face.connection.gone(1001, "")
    await pass_seconds(clock, looked_after, 260)
    for face in faces[10:20]:
        face.connection.gone(1001, "")
    await here.local.sessions.end(known.session.id)
    await eventually(lambda: len(here.guard.connections) == 0)
    await looked_after.run()
    assert (looked_after._seconds, looked_after._buckets, looked_after._due) == ({}, {}, set())


async def test_a_process_that_ends_says_nothing_of_failures(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody is connected by password when the process ends: their session ends too, and nothing fails on the way."""
    async with process(tmp_path, clock) as here:
        await here.local.users.add("bob", PASSWORD)
        face = await here.connected(here.begin((b"authorization", b"Basic " + _basic("bob", PASSWORD))))
        session_id = str(face.connection.identity.session_id)
    await asyncio.sleep(0.05)
    assert "failed" not in caplog.text
    async with process(tmp_path, clock) as later:
        assert await later.local.sessions.find(session_id) is None
