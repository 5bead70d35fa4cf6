"""One connection through the gateway, however it begins and ends: nothing is lost, and nothing is left of it."""

from collections.abc import Awaitable, Callable

import pytest

from tests.attacks.wire import frame
from tests.rfc6455.peer import CLOSE, CONTINUATION, Peer
from tests.unit.gateway.ground import SPEAKS, WAYS, Ground, eventually, ground, uncollected
from wsauth.errors import Refused

BYE = frame(b"\x03\xe8bye", CLOSE)
BYE_DOWN = frame(b"\x03\xe8bye", CLOSE, masked=False)

End = Callable[[Ground, Peer, Peer], Awaitable[None]]


async def client_closes(_: Ground, client: Peer, backend: Peer) -> None:
    """Close as the client, and answer as the upstream."""
    client.send(BYE)
    assert (await backend.closed()).code == 1000
    backend.send(BYE_DOWN)
    assert (await client.closed()).reason == "bye"
    await client.ends()
    await backend.ends()


async def upstream_closes(_: Ground, client: Peer, backend: Peer) -> None:
    """Close as the upstream, and answer as the client."""
    backend.send(BYE_DOWN)
    assert (await client.closed()).reason == "bye"
    client.send(BYE)
    assert (await backend.closed()).code == 1000
    await client.ends()
    await backend.ends()


async def both_close(_: Ground, client: Peer, backend: Peer) -> None:
    """Close as both at once."""
    client.send(BYE)
    backend.send(BYE_DOWN)
    await client.closed()
    await client.ends()
    await backend.ends()


async def client_resets(_: Ground, client: Peer, backend: Peer) -> None:
    """Cut the client's TCP."""
    client.reset()
    await backend.ends()


async def upstream_resets(_: Ground, client: Peer, backend: Peer) -> None:
    """Cut the upstream's TCP."""
    backend.reset()
    assert (await client.closed()).code == 1013
    await client.leave()


async def client_finishes(_: Ground, client: Peer, backend: Peer) -> None:
    """End the client's writing without a close frame."""
    client.end_writing()
    await backend.ends()
    backend.writer.close()
    await client.ends()


async def upstream_finishes(_: Ground, client: Peer, backend: Peer) -> None:
    """End the upstream's TCP without a close frame."""
    backend.writer.close()
    assert (await client.closed()).code == 1013
    await client.leave()


async def upstream_finishes_within_a_frame(_: Ground, client: Peer, backend: Peer) -> None:
    """End the upstream's TCP in the middle of a frame."""
    backend.send(frame(b"x" * 1_000, masked=False)[:500])
    await client.reader.readexactly(500)
    backend.writer.close()
    await client.ends()


async def client_breaks_a_rule(_: Ground, client: Peer, backend: Peer) -> None:
    """Send a frame with a reserved bit as the client."""
    client.send(frame("x", rsv=1))
    assert (await client.closed()).code == 1002
    await client.leave()
    assert (await backend.closed()).code == 1002
    await backend.leave()


async def upstream_breaks_a_rule(_: Ground, client: Peer, backend: Peer) -> None:
    """Send a masked frame as the upstream."""
    backend.send(frame("x"))
    assert (await client.closed()).code == 1013
    await client.leave()
    assert (await backend.closed()).code == 1002
    await backend.leave()


async def both_are_ended(at: Ground, client: Peer, backend: Peer) -> None:
    """Revoke."""
    (connection,) = at.guard.connections.all()
    connection.end(Refused("session_revoked", "the test says so"))
    assert (await client.closed()).code == (await backend.closed()).code
    await client.leave()
    await backend.leave()


async def both_are_ended_within_a_message(at: Ground, client: Peer, backend: Peer) -> None:
    """Revoke while a message is under way in each direction, which ends a little later."""
    client.send(frame(b"up", fin=False))
    backend.send(frame(b"down", fin=False, masked=False))
    assert (await client.receive()).payload == b"down"
    assert (await backend.receive()).payload == b"up"
    (connection,) = at.guard.connections.all()
    connection.end(Refused("token_expired", "the test says so"))
    backend.send(frame(b"end", CONTINUATION, masked=False))
    assert (await client.receive()).payload == b"end"
    await client.closed()
    await client.leave()
    await backend.closed()
    await backend.leave()


async def nobody_answers_the_close(at: Ground, client: Peer, backend: Peer) -> None:
    """Revoke, and let neither peer answer but by ending TCP."""
    (connection,) = at.guard.connections.all()
    connection.end(Refused("session_revoked", "the test says so"))
    await client.closed()
    await backend.closed()
    client.writer.close()
    backend.writer.close()


async def a_frame_never_ends(at: Ground, client: Peer, backend: Peer) -> None:
    """Revoke in the middle of a frame of each side that has no end: both are cut."""
    backend.send(frame(b"x" * 1_000, masked=False)[:500])
    client.send(frame(b"x" * 1_000)[:500])
    await client.reader.readexactly(500)
    await backend.reader.readexactly(500)
    (connection,) = at.guard.connections.all()
    connection.end(Refused("session_revoked", "the test says so"))
    await client.ends()
    await backend.ends()


async def it_is_aborted(at: Ground, client: Peer, backend: Peer) -> None:
    """Have a handler fail."""
    at.link().failed()
    await client.ends()
    await backend.ends()


ENDS = [
    client_closes,
    upstream_closes,
    both_close,
    client_resets,
    upstream_resets,
    client_finishes,
    upstream_finishes,
    upstream_finishes_within_a_frame,
    client_breaks_a_rule,
    upstream_breaks_a_rule,
    both_are_ended,
    both_are_ended_within_a_message,
    nobody_answers_the_close,
    a_frame_never_ends,
    it_is_aborted,
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("speaks", [False, True], ids=["plain", "speaking"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_nothing_is_left_of_a_connection(end: End, speaks: bool, way: str) -> None:
    """However a connection ends, all that it was made of is freed at once, without the garbage collector."""
    async with ground() as at:
        lines = (at.bearer(), SPEAKS) if speaks else (at.bearer(),)
        with uncollected() as left:
            async with at.joined(*lines, path="/ws", way=way) as (client, backend):
                client.send(frame("hello"))
                assert (await backend.message()).payload == b"hello"
                backend.send(frame("hello to you", masked=False))
                assert (await client.message()).payload == b"hello to you"
                await end(at, client, backend)
            await eventually(at.idle, "the gateway never became idle")
            await eventually(lambda: not left(), f"left: {left()}")
