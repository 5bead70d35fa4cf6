"""What passes on one connection: nothing is lost, nothing comes out of order, and nothing passes while nothing may."""

import asyncio
import random
import socket
from collections.abc import Iterable

import pytest

from tests.attacks.wire import frame, request
from tests.rfc6455.peer import BINARY, CLOSE, CONTINUATION, PATIENCE, PING, Peer
from tests.unit.gateway.ground import SPEAKS, WAYS, Ground, eventually, ground
from wsauth.core import events
from wsauth.errors import Refused
from wsauth.services.connections.connection import Connection

BYE = frame(b"\x03\xe8bye", CLOSE)
BYE_DOWN = frame(b"\x03\xe8bye", CLOSE, masked=False)
KINDS = pytest.mark.parametrize("lines", [(), (SPEAKS,)], ids=["plain", "speaking"])
BOTH = pytest.mark.parametrize("way", WAYS)


def messages(seed: int, *, masked: bool) -> list[bytes]:
    """Return messages of every kind, some in fragments, with pings between them.

    Pings stand in binary ones too; of a text in pieces they may come earlier, since its beginning is looked at.
    """
    draw = random.Random(seed)
    found = []
    for _ in range(60):
        opcode, size = draw.choice([1, 2]), draw.choice([0, 1, 60, 125, 126, 4_000, 20_000, 70_000])
        parts = [b"x" * (size // 3), b"y" * (size // 3), b"z" * (size // 3)] if draw.random() < 0.4 else [b"m" * size]
        for at, part in enumerate(parts):
            last = at == len(parts) - 1
            found.append(frame(part, opcode if at == 0 else CONTINUATION, fin=last, masked=masked))
            if draw.random() < 0.2 and (last or opcode == BINARY):
                found.append(frame(b"p", PING, masked=masked))
    return found


def cut(data: bytes, draw: random.Random) -> Iterable[bytes]:
    """Return bytes in pieces of one to many."""
    at = 0
    while at < len(data):
        size = int(10 ** draw.uniform(0, 4.5))
        yield data[at : at + size]
        at += size


async def pump(peer: Peer, data: bytes, seed: int) -> None:
    """Write bytes in pieces."""
    for piece in cut(data, random.Random(seed)):
        peer.send(piece)
        await peer.writer.drain()
        await asyncio.sleep(0)


async def read(peer: Peer, size: int) -> bytes:
    """Read so many bytes."""
    async with asyncio.timeout(PATIENCE):
        return await peer.reader.readexactly(size)


async def read_all(peer: Peer) -> bytes:
    """Read until TCP ends."""
    async with asyncio.timeout(PATIENCE):
        return await peer.reader.read()


async def silent(*peers: Peer) -> None:
    """See that nothing comes: after it has had every chance to."""
    for _ in range(20):
        await asyncio.sleep(0.005)
    for peer in peers:
        assert not peer.reader._buffer  # type: ignore[attr-defined]  # what came and was not read


def connection_of(at: Ground) -> Connection:
    """Return the only connection."""
    (connection,) = at.guard.connections.all()
    return connection


@BOTH
@KINDS
@pytest.mark.parametrize("seed", [1, 2])
async def test_all_passes_as_it_came(lines: tuple[str, ...], way: str, seed: int) -> None:
    """Messages in fragments, with pings between them, pass both ways byte for byte, however they are cut."""
    up, down = (b"".join(messages(seed + masked, masked=masked)) for masked in (True, False))
    async with ground(max_message="1MiB") as at, at.joined(at.bearer(), *lines, path="/ws", way=way) as peers:
        client, backend = peers
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(client, up, seed))
            group.create_task(pump(backend, down, seed))
            above = group.create_task(read(backend, len(up)))
            below = group.create_task(read(client, len(down)))
        assert above.result() == up
        assert below.result() == down


@BOTH
@KINDS
async def test_what_comes_early_comes_first(lines: tuple[str, ...], way: str) -> None:
    """Bytes right behind a handshake, of both sides, pass after it and before everything else, in order."""
    early, later = frame("early") * 2_000, frame("later") * 100
    async with ground() as at:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.ports[way])
        client = Peer(reader, writer)
        writer.write(request("/ws", at.bearer(), *lines) + early[:5_001])
        async with at.upstream.end() as backend:
            backend.send(down := frame("down", masked=False) * 50)
            client.send(early[5_001:])
            client.send(later)
            assert await read(backend, len(early + later)) == early + later
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            if lines:
                assert b'"auth_success"' in (await client.message()).payload
            assert await read(client, len(down)) == down
        writer.transport.abort()


# The end of a lease.


@BOTH
@KINDS
async def test_nothing_passes_without_a_lease(lines: tuple[str, ...], way: str) -> None:
    """When the lease ends nothing passes either way; when it lives again all does that waited, in order."""
    async with ground(grace="30s") as at, at.joined(at.bearer(ttl=60), *lines, path="/ws", way=way) as peers:
        client, backend = peers
        at.clock.advance(60)
        if lines:
            assert b"auth_expiring" in (await client.message()).payload
            assert b"token_expired" in (await client.message()).payload
        up, down = frame("up") * 3, frame("down", masked=False) * 3
        client.send(up)
        backend.send(down)
        await silent(client, backend)
        connection_of(at).extended(at.clock.now() + 60)
        if lines:
            assert b'"auth_success"' in (await client.message()).payload
        assert await read(backend, len(up)) == up
        assert await read(client, len(down)) == down


@BOTH
async def test_a_message_that_has_begun_ends(way: str) -> None:
    """A message under way when the lease ends still passes to its end, and nothing of what came with its end."""
    async with ground(grace="30s") as at, at.joined(at.bearer(ttl=60), path="/ws", way=way) as (client, backend):
        up = frame("be", fin=False), frame(b"", PING) + frame("gun", CONTINUATION), frame("later")
        down = frame(b"x" * 300, masked=False)[:200], frame(b"x" * 300, masked=False)[200:], frame(b"l", masked=False)
        client.send(up[0])
        backend.send(down[0])
        assert (await read(backend, len(up[0])), await read(client, 200)) == (up[0], down[0])
        at.clock.advance(60)
        client.send(up[1] + up[2])
        backend.send(down[1] + down[2])
        assert (await read(backend, len(up[1])), await read(client, len(down[1]))) == up[1:2] + down[1:2]
        await silent(client, backend)
        connection_of(at).extended(at.clock.now() + 60)
        assert (await read(backend, len(up[2])), await read(client, len(down[2]))) == up[2:3] + down[2:3]


@BOTH
@KINDS
async def test_a_message_that_does_not_end_is_held_in_its_middle(lines: tuple[str, ...], way: str) -> None:
    """Half a second after the end of the lease nothing more passes, not even of a frame; and then it goes on there."""
    async with ground(grace="30s") as at, at.joined(at.bearer(ttl=60), *lines, path="/ws", way=way) as peers:
        client, backend = peers
        up, down = frame(b"u" * 5_000), frame(b"d" * 5_000, masked=False)
        client.send(up[:1_000])
        backend.send(down[:1_000])
        assert (await read(backend, 1_000), await read(client, 1_000)) == (up[:1_000], down[:1_000])
        at.clock.advance(60)
        await asyncio.sleep(0.6)
        client.send(up[1_000:])
        backend.send(down[1_000:])
        await silent(client, backend)
        connection_of(at).extended(at.clock.now() + 60)
        assert (await read(backend, 4_006), await read(client, 4_004 - 0)) == (up[1_000:5_006], down[1_000:5_004])


@KINDS
async def test_the_end_of_grace_closes_both(lines: tuple[str, ...]) -> None:
    """A lease that is not renewed in its grace has both sides closed with 3000, also who is held."""
    async with ground(grace="30s") as at, at.joined(at.bearer(ttl=60), *lines, path="/ws") as (client, backend):
        at.clock.advance(60)
        client.send(frame("never delivered"))
        backend.send(frame("nor this", masked=False))
        at.clock.advance(30)
        assert (await client.closed()).code == 3000
        assert (await backend.receive()).code == 3000
        await client.leave()
        await backend.leave()


async def test_closing_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second after the end of a lease a close that has begun meanwhile is not disturbed."""
    async with ground(grace="30s") as at, at.joined(at.bearer(ttl=60), path="/ws") as (client, backend):
        client.send(frame("x", fin=False))
        backend.send(frame("x", fin=False, masked=False))
        await backend.receive()
        await client.receive()
        at.clock.advance(60)
        connection_of(at).end(Refused("session_revoked", "the test says so"))
        await asyncio.sleep(0.8)
        assert (await client.closed()).opcode == (await backend.closed()).opcode == CLOSE
        began = asyncio.get_running_loop().time()
        await client.leave()
        await backend.leave()
        assert asyncio.get_running_loop().time() - began < 1.0


# Ends.


@BOTH
@KINDS
async def test_a_slow_client_gets_all_that_came_before_the_end(lines: tuple[str, ...], way: str) -> None:
    """A client that has said that it closes, and reads late, gets every byte up to the upstream's close frame."""
    async with ground() as at, at.joined(at.bearer(), *lines, path="/ws", way=way) as (client, backend):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a TCP transport can
        client.send(BYE)
        assert (await backend.closed()).code == 1000
        down = frame(b"d" * 10_000, masked=False) * 3_000 + BYE_DOWN
        sending = asyncio.create_task(pump(backend, down, 1))
        await eventually(lambda: at.link().client.waiting > 0)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        found = await read_all(client)
        await sending
        assert len(found) == len(down)
        assert found == down


async def test_the_answer_to_a_close_waits_for_room() -> None:
    """The upstream's last message and its close frame, read in one piece, reach a client that has room for neither."""
    async with ground() as at:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        small.setblocking(False)
        await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", at.ports["socket"]))
        await asyncio.get_running_loop().sock_sendall(small, request("/ws", at.bearer()))
        async with at.upstream.end() as backend:
            await eventually(lambda: at.link().spliced)
            near = at.link().client._socket  # type: ignore[attr-defined]  # how much it holds is the kernel's affair
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2_048)
            await asyncio.get_running_loop().sock_sendall(small, BYE)
            await backend.closed()
            backend.send(last := frame(b"d" * 60_000, masked=False) + BYE_DOWN)
            await asyncio.sleep(0.1)
            reader, writer = await asyncio.open_connection(sock=small)
            await reader.readuntil(b"\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                assert await reader.read() == last
            writer.close()


@BOTH
async def test_a_client_that_ends_writing_gets_what_is_on_its_way(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """After a client's FIN the upstream's last messages still come, and nobody says that the upstream broke off."""
    closed: list[events.Closed] = []
    async with ground() as at, at.joined(at.bearer(), path="/ws", way=way) as (client, backend):
        at.guard.bus.subscribe(events.Closed, closed.append)
        client.send(last := frame("last"))
        client.end_writing()
        assert await read_all(backend) == last
        if way == "socket":
            backend.send(down := frame(b"d" * 100_000, masked=False) * 20)
            backend.end_writing()
            assert await read_all(client) == down
        await eventually(lambda: bool(closed))
    assert [event.code for event in closed] == [1006]
    assert "upstream" not in caplog.text


async def test_a_client_that_leaves_and_ends_writing_is_answered() -> None:
    """FIN right behind a close frame: the upstream hears the close, and its answer is waited for."""
    closed: list[events.Closed] = []
    async with ground() as at, at.joined(at.bearer(), path="/ws") as (client, backend):
        at.guard.bus.subscribe(events.Closed, closed.append)
        client.send(BYE)
        client.end_writing()
        assert (await backend.closed()).code == 1000
        backend.send(down := frame(b"late", masked=False) + BYE_DOWN)
        assert await read_all(client) == down
        await backend.ends()
        await eventually(lambda: bool(closed))
    assert [(event.code, event.reason) for event in closed] == [(1000, "bye")]


@BOTH
@KINDS
@pytest.mark.parametrize("first", ["client", "upstream", "neither"])
async def test_nobody_gets_two_close_frames(lines: tuple[str, ...], way: str, first: str) -> None:
    """Whoever closes while we do, each side gets one close frame, and nothing behind it."""
    async with ground() as at, at.joined(at.bearer(), *lines, path="/ws", way=way) as (client, backend):
        if first == "client":
            client.send(BYE)
            await eventually(lambda: at.link().client.closed)
        elif first == "upstream":
            backend.send(BYE_DOWN)
        connection_of(at).end(Refused("session_revoked", "the test says so"))
        for peer, answer in ((client, BYE), (backend, BYE_DOWN)):
            assert (await peer.closed()).opcode == CLOSE
            peer.send(answer)
        assert await read_all(client) == await read_all(backend) == b""


@pytest.mark.parametrize("frame_ends", [True, False])
async def test_control_messages_stand_between_messages(frame_ends: bool) -> None:
    """A control message waits for the end of the upstream's message, and comes before the close frame behind it."""
    async with ground(grace="") as at, at.joined(at.bearer(ttl=60), SPEAKS, path="/ws") as (client, backend):
        whole = frame(b"d" * 200, BINARY, fin=False, masked=False), frame(b"end", CONTINUATION, masked=False)
        first = whole[0] if frame_ends else whole[0][:100]
        backend.send(first)
        await read(client, len(first))
        at.clock.advance(60)
        await asyncio.sleep(0.05)
        rest = b"".join(whole)[len(first) :]
        backend.send(rest)
        assert await read(client, len(rest)) == rest
        assert b"auth_expiring" in (await client.message()).payload
        message, closing = await client.message(), await client.receive()
        assert b'"token_expired"' in message.payload
        assert b'"closing":true' in message.payload
        assert (closing.opcode, closing.code) == (CLOSE, 3000)
        await client.leave()


@BOTH
@pytest.mark.parametrize("reads", [True, False])
async def test_a_report_says_how_it_ended(way: str, reads: bool) -> None:
    """A connection whose close frame the kernel took was `closed`; one whose client does not read was `cut`."""
    async with ground() as at, at.joined(at.bearer(), path="/ws", way=way) as (client, backend):
        if not reads:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a TCP transport can
            backend.send(frame(b"d" * 10_000, masked=False) * 5_000)
            await eventually(lambda: at.link().client.waiting > 0)
        connection = connection_of(at)
        ending = connection.ending()
        connection.end(Refused("session_revoked", "the test says so"))
        async with asyncio.timeout(1.5):
            assert await ending == ("closed" if reads else "cut")


async def test_an_end_does_not_wait_for_who_does_not_read() -> None:
    """Where the client does not read, the upstream's answer to our close is still seen at once."""
    async with ground() as at, at.joined(at.bearer(), path="/ws") as (client, backend):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a TCP transport can
        backend.send(frame(b"d" * 10_000, masked=False) * 3_000)
        await eventually(lambda: at.link().client.waiting > 0)
        connection_of(at).end(Refused("session_revoked", "the test says so"))
        assert (await backend.closed()).opcode == CLOSE
        began = asyncio.get_running_loop().time()
        await backend.leave()
        await eventually(at.idle)
        assert asyncio.get_running_loop().time() - began < 2.0


@KINDS
async def test_nothing_is_counted_as_said_that_is_a_ping(lines: tuple[str, ...]) -> None:
    """`idle_timeout` counts messages of both sides, and no pings."""
    async with ground(idle_timeout="60s") as at, at.joined(at.bearer(), *lines, path="/ws") as (client, backend):
        for peer, other in ((client, backend), (backend, client)):
            at.clock.advance(50)
            peer.send(said := frame(b"m", masked=peer is client))
            await read(other, len(said))
        at.clock.advance(50)
        client.send(ping := frame(b"p", PING))
        await read(backend, len(ping))
        at.clock.advance(11)
        assert (await client.closed()).reason == "idle_timeout"
        await client.leave()
        await backend.closed()
        await backend.leave()


@BOTH
async def test_the_kernel_tells_how_much_a_client_has_sent(way: str) -> None:
    """Every byte of its frames, and none of what came back."""
    async with ground() as it, it.joined(way=way) as (client, backend):
        (connection,) = it.guard.connections.all()
        before = connection.bytes_received()
        assert before is not None
        sent = frame(b"x" * 5_000, BINARY)
        client.send(sent)
        assert (await backend.message()).payload == b"x" * 5_000
        backend.send(frame(b"y" * 9_000, BINARY, masked=False))
        assert (await client.message()).payload == b"y" * 9_000
        assert connection.bytes_received() == before + len(sent)
