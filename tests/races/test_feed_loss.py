"""A process that does not hear the feed: cut off, suspended, or not yet there."""

import asyncio
from pathlib import Path

import pytest

from tests.races.world import PASSWORD, Process, eventually, process
from wsauth.errors import Refused
from wsauth.interfaces.feed import Seen
from wsauth.testing import FakeClock


def resume(here: Process) -> None:
    """Read the feed again."""
    here.guard.backend.reader.start(here.guard.follower._tell, here.guard.backend.clock.now)


async def test_whoever_does_not_hear_grants_nothing(here: Process, clock: FakeClock) -> None:
    """Five seconds after the last read no handshake, renewal, ticket, password or extension comes through."""
    known, cookie = await here.login(), await here.login(kind="cookie")
    _, key = await here.local.users.add_service("robot")
    ticket = await here.guard.issue_ticket((await here.connected(here.bearer(key))).connection.identity)
    face = await here.connected(here.bearer(here.access(known)))
    service = await here.connected(here.bearer(key))
    end = service.connection.expires_at
    here.stop_hearing()
    clock.advance(5.5)
    tried = [
        here.bearer(here.access(known)),
        here.bearer(key),
        here.cookie(cookie.session),
        here.begin(query=f"ticket={ticket}"),
        here.begin((b"authorization", b"Basic YWxpY2U6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==")),
    ]
    for one in tried:
        await one.settled()
    assert [one.code for one in tried] == ["unavailable"] * 5
    face.say(type="auth", token=here.access(known))
    await eventually(lambda: face.said[-1].get("code") == "unavailable")
    clock.advance(270)
    await asyncio.sleep(2.2)
    assert service.connection.expires_at == end
    assert face.open
    assert here.guard.follower.lost


async def test_when_the_feed_is_heard_again_everything_is(here: Process, there: Process, clock: FakeClock) -> None:
    """Cut off, a process misses a revocation; heard again, it closes the socket before it grants anything."""
    known, other = await here.login(), await here.login("bob")
    face = await there.connected(there.bearer(here.access(known)))
    there.stop_hearing()
    report = await here.guard.revoke(session_id=known.session.id)
    assert (report.nodes.live, report.nodes.answered, report.nodes.silent) == (2, 1, 1)
    assert not report.complete
    assert face.open
    clock.advance(6)
    resume(there)
    await eventually(lambda: face.code == "session_revoked")
    await there.connected(there.bearer(here.access(other)))
    refused = there.bearer(here.access(known))
    await refused.settled()
    assert refused.code == "session_revoked"


async def test_a_read_from_before_a_suspension_is_no_hearing(here: Process, clock: FakeClock) -> None:
    """What a reader found before the machine slept is told afterwards: it counts as of when it was read."""
    known = await here.login()
    before = clock.now()
    here.stop_hearing()
    clock.advance(3600)
    here.guard.follower.apply(Seen(rows=(), read_at=before + 1))
    assert here.guard.follower.lost
    face = here.bearer(here.access(known))
    await face.settled()
    assert face.code in {"unavailable", "token_expired"}
    assert not face.connection.machine.opened


async def test_on_feed_loss_close_closes_everybody(tmp_path: Path, clock: FakeClock) -> None:
    """With `on_feed_loss = "close"` open sockets end with 1013 within a second or two of the loss."""
    async with process(tmp_path, clock, on_feed_loss="close") as here:
        await here.local.users.add("alice", PASSWORD)
        face = await here.connected(here.bearer(here.access(await here.login())))
        here.stop_hearing()
        clock.advance(5.5)
        await eventually(lambda: face.closed is not None)
        assert face.closed is not None
        assert face.closed[0] == 1013
        assert face.code == "unavailable"


async def test_nothing_is_granted_before_the_first_read(tmp_path: Path, clock: FakeClock, here: Process) -> None:
    """A process that has not read the feed at all knows no revocation, and lets nobody in."""
    token = here.access(await here.login())
    async with process(tmp_path, clock, starts=False) as late:
        late.local.signing = here.local.signing
        late.local.tokens._keys = here.local.signing
        face = late.bearer(token)
        await face.settled()
        assert face.code == "unavailable"


async def test_a_process_that_starts_knows_what_was_revoked_before(
    tmp_path: Path, clock: FakeClock, here: Process
) -> None:
    """Everything that was ended before a process began is refused there from its first handshake on."""
    known, other = await here.login(), await here.login()
    user = await here.local.users.get("bob")
    by_hand = here.local.tokens.issue_by_hand("bob", ttl=3600, user=user)
    await here.local.sessions.end(known.session.id)
    await here.local.users.disable("bob")
    async with process(tmp_path, clock) as late:
        for token, code in ((here.access(known), "session_revoked"), (by_hand, "token_revoked")):
            face = late.bearer(token)
            await face.settled()
            assert face.code == code
        await late.connected(late.bearer(here.access(other)))


@pytest.mark.parametrize("trouble", ["a handler", "the store"])
async def test_a_failure_does_not_stop_the_beat(here: Process, trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    """Something that is done every second fails in every way; the process goes on to say that it lives."""
    failed = asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise RuntimeError("broken") if trouble == "a handler" else Refused("unavailable", "the store is away")

    here.guard.follower.every_second(fail)
    await failed.wait()
    failed.clear()
    async with asyncio.timeout(5):
        await failed.wait()
    assert "every second" in caplog.text or "could not be used" in caplog.text
