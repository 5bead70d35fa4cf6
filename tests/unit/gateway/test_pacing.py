"""A client that may send only so many messages: what is over waits, in order, and nothing else does."""

import asyncio

import pytest

from tests.attacks.wire import frame
from tests.rfc6455.peer import BINARY, CLOSE, CONTINUATION, PING, PONG
from tests.unit.gateway.ground import SPEAKS, eventually, ground
from tests.unit.gateway.test_traffic import BOTH, BYE, BYE_DOWN, KINDS, connection_of, messages, pump, read, silent
from wsauth.core import events
from wsauth.core.protocol.states import State
from wsauth.errors import Refused

UP = frame("up")
"""A message of the client."""


@BOTH
@KINDS
async def test_all_comes_in_order_in_its_time(lines: tuple[str, ...], way: str) -> None:
    """Messages of every kind, however they are cut, pass byte for byte at a rate that they have to wait for."""
    up = b"".join(messages(1, masked=True))
    async with (
        ground(messages="10/50ms", max_message="1MiB") as at,
        at.joined(at.bearer(), *lines, path="/ws", way=way) as (client, backend),
    ):
        sending = asyncio.create_task(pump(client, up + BYE, 1))
        assert await read(backend, len(up + BYE)) == up + BYE
        await sending
        backend.send(BYE_DOWN)
        assert (await client.closed()).code == 1000


@BOTH
@KINDS
async def test_many_in_one_piece_obey_the_rate(lines: tuple[str, ...], way: str) -> None:
    """Of equal small frames in one read as many pass as may, and the other side is not slowed."""
    down = frame("down", masked=False) * 50
    async with (
        ground(messages="5/h") as at,
        at.joined(at.bearer(), *lines, path="/ws", way=way) as (client, backend),
    ):
        client.send(UP * 100)
        assert await read(backend, 5 * len(UP)) == UP * 5
        backend.send(down)
        assert await read(client, len(down)) == down
        await silent(backend)


@KINDS
async def test_fragments_are_one_message_and_pings_none(lines: tuple[str, ...]) -> None:
    """A message in three frames counts once, pings and pongs around and inside it count nothing, nor does a close."""
    whole = frame(b"a", BINARY, fin=False) + frame(b"p", PING) + frame(b"b", CONTINUATION, fin=False)
    whole += frame(b"c", CONTINUATION) + frame(b"p", PONG)
    up = whole * 2 + frame(b"p", PING) * 3 + BYE
    async with ground(messages="2/h") as at, at.joined(at.bearer(), *lines, path="/ws") as (client, backend):
        client.send(up)
        assert await read(backend, len(up)) == up
        backend.send(BYE_DOWN)
        assert (await client.closed()).code == 1000


@BOTH
@KINDS
@pytest.mark.parametrize("begun", [True, False])
async def test_who_waits_is_closed_at_once(lines: tuple[str, ...], way: str, begun: bool) -> None:
    """A revocation closes both sides of a client that is not read, and none of what waited passes."""
    last = frame(b"m", BINARY, fin=not begun)
    async with (
        ground(messages="2/h") as at,
        at.joined(at.bearer(), *lines, path="/ws", way=way) as (client, backend),
    ):
        client.send(first := frame("x") + last)
        assert await read(backend, len(first)) == first
        client.send((frame(b"", CONTINUATION) if begun else b"") + frame("late") * 20_000)
        assert not begun or (await backend.receive()).opcode == CONTINUATION
        await eventually(lambda: at.link().client._held_back)
        connection_of(at).end(Refused("session_revoked", "the test says so"))
        assert (await client.closed()).reason == "session_revoked"
        assert (await backend.receive()).opcode == CLOSE
        client.send(BYE)
        await backend.leave()


@KINDS
async def test_a_close_is_said_once_though_the_rate_fills_meanwhile(lines: tuple[str, ...]) -> None:
    """A client that takes its time to answer our close frame changes nothing for the upstream."""
    async with ground(messages="1/50ms") as at, at.joined(at.bearer(), *lines, path="/ws") as (client, backend):
        client.send(UP * 40)
        await eventually(lambda: at.link().client._held_back)
        connection_of(at).end(Refused("session_revoked", "the test says so"))
        assert (await client.closed()).reason == "session_revoked"
        assert (await backend.closed()).opcode == CLOSE
        await silent(backend)
        client.send(BYE)
        await silent(backend)
        await backend.leave()


@BOTH
@KINDS
async def test_a_lease_ends_while_the_client_waits(lines: tuple[str, ...], way: str) -> None:
    """The end of a lease closes a client that is not read."""
    async with (
        ground(messages="1/h", grace="") as at,
        at.joined(at.bearer(ttl=60), *lines, path="/ws", way=way) as (client, backend),
    ):
        client.send(UP * 10)
        assert await read(backend, len(UP)) == UP
        await eventually(lambda: at.link().client._held_back)
        at.clock.advance(60)
        assert (await client.closed()).code == 3000
        await client.leave()


async def test_what_waits_for_the_rate_waits_for_the_lease_too() -> None:
    """While a lease has ended nothing passes, though the rate has filled again; when it lives again, all does."""
    up = b"".join(frame(b"%02d" % each) for each in range(60))
    async with (
        ground(messages="10/200ms", grace="30s") as at,
        at.joined(at.bearer(ttl=60), path="/ws") as (client, backend),
    ):
        client.send(up)
        await eventually(lambda: at.link().client._held_back)
        at.clock.advance(60)
        await eventually(lambda: connection_of(at).machine.state is State.STALE)
        await silent()
        passed = len(backend.reader._buffer)  # type: ignore[attr-defined]  # what came and was not read
        await silent()
        assert len(backend.reader._buffer) == passed < len(up)  # type: ignore[attr-defined]  # as above
        connection_of(at).extended(at.clock.now() + 60)
        assert await read(backend, len(up)) == up


@KINDS
async def test_a_client_that_breaks_off_while_it_waits_is_let_go(
    lines: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """TCP that is reset is noticed though nothing is read, and when the rate has filled nobody goes on."""
    closed: list[events.Closed] = []
    async with ground(messages="1/100ms") as at, at.joined(at.bearer(), *lines, path="/ws") as (client, backend):
        at.guard.bus.subscribe(events.Closed, closed.append)
        client.send(UP * 10)
        assert await read(backend, len(UP)) == UP
        await eventually(lambda: at.link().client._held_back)
        client.reset()
        await eventually(lambda: bool(closed))
        await backend.ends()
        await silent()
        await silent()
    assert [event.code for event in closed] == [1006]
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_message_that_authenticates_is_not_counted() -> None:
    """The first message is wsauth's; the rate begins behind it."""
    async with ground(messages="1/h") as at, at.opened(SPEAKS, path="/message") as client:
        await client.message()
        client.send(frame(b'{"type":"auth","token":"%b"}' % at.tokens.token("alice").encode(), 1) + UP * 2)
        async with at.upstream.end() as backend:
            assert b'"auth_success"' in (await client.message()).payload
            assert await read(backend, len(UP)) == UP
            await silent(backend)
