"""A client that speaks wsauth: what it says to us never reaches the upstream, and all else does as it came."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

import pytest

from tests.attacks.wire import frame
from tests.rfc6455.peer import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Peer
from tests.unit.gateway.ground import SPEAKS, WAYS, Ground, eventually, ground, uncollected
from tests.unit.gateway.test_traffic import BYE, BYE_DOWN, connection_of, pump, read, silent
from wsauth.errors import Refused


def auth(at: Ground, subject: str = "alice") -> str:
    """Return an `auth` message."""
    return json.dumps({"type": "auth", "token": at.tokens.token(subject)})


async def said(peer: Peer) -> str:
    """Return the type of the control message that comes."""
    kind: str = json.loads((await peer.message()).payload)["type"]
    return kind


# Before anybody is known.


@pytest.mark.parametrize("way", WAYS)
async def test_what_waits_for_a_verdict_comes_in_order(way: str) -> None:
    """Messages, fragments and pings that came right behind the first message reach the upstream behind each other."""
    async with ground() as at, at.opened(path="/message", way=way) as client:
        assert await said(client) == "auth_required"
        behind = frame("one") + frame("t", fin=False) + frame(b"", PING) + frame("wo", CONTINUATION) + frame(b"3")
        client.send(frame(auth(at)) + behind)
        async with at.upstream.end() as backend:
            assert await said(client) == "auth_success"
            found = [await backend.receive() for _ in range(5)]
            assert sorted((each.opcode, each.payload) for each in found) == sorted(
                [(TEXT, b"one"), (TEXT, b"t"), (PING, b""), (CONTINUATION, b"wo"), (BINARY, b"3")]
            )
            assert [each.payload for each in found if each.opcode != PING] == [b"one", b"t", b"wo", b"3"]
            client.send(frame("after"))
            assert (await backend.message()).payload == b"after"


@pytest.mark.parametrize("way", WAYS)
async def test_more_than_may_wait_is_not_read_and_not_lost(way: str) -> None:
    """A flood behind the first message stops being read, and passes in order when the upstream is there."""
    async with ground() as at, at.opened(path="/message", way=way) as client:
        await client.message()
        flood = b"".join(frame(b"%06d" % number) for number in range(20_000))
        sending = asyncio.create_task(pump(client, frame(auth(at)) + flood, 1))
        async with at.upstream.end() as backend:
            assert await read(backend, len(flood)) == flood
        await sending


async def test_pings_are_answered_before_anybody_is_known() -> None:
    """A client that waits for its user to type may ping, and pongs of its own are nothing."""
    async with ground() as at, at.opened(path="/message") as client:
        await client.message()
        client.send(frame(b"still here", PING), frame(b"", PONG))
        found = await client.receive()
        assert (found.opcode, found.payload) == (PONG, b"still here")


async def test_pings_of_a_long_life_are_not_added_up() -> None:
    """Pings in the grace of one lease do not count in the grace of a later one."""
    async with ground(grace="30s") as at, at.joined(at.bearer(ttl=60), SPEAKS, path="/ws") as (client, backend):
        for _ in range(3):
            at.clock.advance(connection_of(at).expires_at - at.clock.now())  # type: ignore[operator]  # it ends
            client.send(frame(b"x", PING) * 60)
            for _ in range(62):
                await client.receive()  # auth_expiring, token_expired and the pongs
            connection_of(at).extended(at.clock.now() + 60)
            assert await said(client) == "auth_success"
            client.send(frame(b"y", PING))
            assert (await backend.receive()).payload == b"y"


EARLY: dict[str, Callable[[Ground, Peer], Awaitable[None]]] = {}


def early(act: Callable[[Ground, Peer], Awaitable[None]]) -> Callable[[Ground, Peer], Awaitable[None]]:
    """Keep a way in which a pending connection ends."""
    EARLY[act.__name__] = act
    return act


@early
async def it_leaves(_: Ground, client: Peer) -> None:
    """Close, with something behind it."""
    client.send(BYE + frame("later"))
    assert (await client.closed()).reason == "bye"
    await client.ends()


@early
async def it_leaves_without_a_code(_: Ground, client: Peer) -> None:
    """Close with an empty frame."""
    client.send(frame(b"", CLOSE))
    assert (await client.closed()).payload == b""
    await client.ends()


@early
async def it_leaves_with_half_a_code(_: Ground, client: Peer) -> None:
    """Close with one byte."""
    client.send(frame(b"\x03", CLOSE))
    assert (await client.closed()).code == 1002
    await client.ends()


@early
async def it_sends_binary(_: Ground, client: Peer) -> None:
    """Send what no `auth` message is."""
    client.send(frame(b"\0"))
    assert (await client.closed()).code == 1003
    await client.leave()


@early
async def it_is_cut_off_within_a_message(_: Ground, client: Peer) -> None:
    """Reset TCP in a message."""
    client.send(frame("x" * 100)[:50])
    client.reset()


@early
async def it_ends_writing(_: Ground, client: Peer) -> None:
    """Send FIN."""
    client.end_writing()
    await client.ends()


@early
async def it_breaks_a_rule_within_a_message(_: Ground, client: Peer) -> None:
    """Send a message inside another one."""
    client.send(frame("x", fin=False) + frame("y"))
    assert (await client.closed()).code == 1002
    await client.leave()


@early
async def it_is_too_long(_: Ground, client: Peer) -> None:
    """Send a message over the limit, of which only the header comes, and then close within it, which is no close."""
    client.send(frame("x" * 20_000)[:100])
    assert (await client.closed()).code == 1009
    await client.ends()


@early
async def it_is_told_to_go_within_a_message(at: Ground, client: Peer) -> None:
    """Be revoked while a message is under way; the rest of it comes, and then the answer."""
    whole = frame("x" * 100)
    client.send(whole[:50])
    await asyncio.sleep(0.02)
    connection_of(at).end(Refused("session_revoked", "the test says so"))
    assert (await client.closed()).reason == "session_revoked"
    client.send(whole[50:] + frame("y"))
    await client.leave()


@early
async def the_deadline_comes(at: Ground, client: Peer) -> None:
    """Say nothing."""
    at.clock.advance(30)
    await client.closed()
    await client.leave()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EARLY)
async def test_nothing_is_left_of_who_never_was_known(name: str, way: str) -> None:
    """However a connection ends whose client has not said who it is, it is answered, and nothing is left of it."""
    async with ground() as at:
        with uncollected() as left:
            async with at.opened(path="/message", way=way) as client:
                assert await said(client) == "auth_required"
                await EARLY[name](at, client)
            await eventually(at.idle)
            await eventually(lambda: not left(), f"left: {left()}")


async def test_nothing_is_left_where_the_upstream_is_gone_for_who_waits() -> None:
    """A client that was let in by a message, and whose upstream refuses, is closed."""
    async with ground("ws://127.0.0.1:1") as at:
        with uncollected() as left:
            async with at.opened(path="/message") as client:
                await client.message()
                client.send(frame(auth(at)) + frame("behind"))
                assert (await client.closed()).code == 1013
                await client.leave()
            await eventually(at.idle)
            await eventually(lambda: not left(), f"left: {left()}")


# Afterwards.


@pytest.mark.parametrize("state", ["open", "stale"])
async def test_nothing_passes_behind_a_close_frame(state: str) -> None:
    """What stands behind the client's close frame reaches nobody, also when the lease is extended after it."""
    async with ground(grace="30s") as at, at.joined(at.bearer(ttl=60), SPEAKS, path="/ws") as (client, backend):
        if state == "stale":
            at.clock.advance(60)
            await client.message()
            await client.message()
        client.send(BYE + frame("later") + frame(b"later", PING) + BYE)
        assert (await backend.closed()).reason == "bye"
        if state == "open":
            at.clock.advance(60)
        connection_of(at).extended(at.clock.now() + 90)
        await silent(backend)
        backend.send(BYE_DOWN + frame("later", masked=False))
        closing = await client.closed()
        assert (closing.code, closing.reason) == (1000, "bye")
        await client.ends()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_renewals_in_the_traffic_are_taken_out(seed: int, way: str) -> None:
    """Among random messages, cut anywhere, no `auth` message reaches the upstream, and nothing else is changed."""
    draw = random.Random(seed)
    async with ground(auth_attempts=50) as at, at.joined(at.bearer(), SPEAKS, path="/ws", way=way) as peers:
        client, backend = peers
        sent, expected = [], []
        for number in range(80):
            kind = draw.random()
            if kind < 0.2:
                text, at_ = auth(at).encode(), draw.randint(1, 30)
                sent += [frame(text[:at_], TEXT, fin=False), frame(text[at_:], CONTINUATION)]
                continue
            size = draw.choice([3, 200, 16_384, 16_385, 50_000])
            body = (b'{"type": %06d ' % number + b"x" * size)[:size]
            parts = [frame(body[:1], TEXT, fin=False), frame(body[1:], CONTINUATION)]
            parts = parts if kind < 0.5 else [frame(body, draw.choice([TEXT, BINARY]))]
            sent += parts
            expected += parts
        writing = asyncio.create_task(pump(client, b"".join(sent), seed))
        whole = b"".join(expected)
        assert await read(backend, len(whole)) == whole
        await writing
        await silent(backend)
