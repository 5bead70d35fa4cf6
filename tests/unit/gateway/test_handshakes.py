"""Handshakes that come to nothing, for every reason there is: an answer for the client, and nothing left of them."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme

from tests.attacks.wire import frame, request
from tests.rfc6455.peer import PATIENCE, Peer
from tests.unit.gateway.ground import WAYS, Ground, dead_port, eventually, ground, uncollected
from wsauth.gateway import Gateway, Upstream
from wsauth.gateway.link import Link
from wsauth.services.connections import connection

YES = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


async def asked(at: Ground, way: str, *lines: str, path: str = "/ws", behind: bytes = b"") -> bytes:
    """Ask for a WebSocket, and return all that comes until TCP ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.ports[way])
    try:
        writer.write(request(path, *lines) + behind)
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


@asynccontextmanager
async def server(answer: bytes, *, then: str = "") -> AsyncGenerator[int]:
    """Run a server that answers a head with these bytes; `then` is `close`, `reset` or empty."""
    writers = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if then == "reset":
            Peer(reader, writer).reset()
        elif then == "close":
            writer.close()

    running = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()
        for writer in writers:
            writer.transport.abort()


REFUSED = {
    "no credentials": ((), "/ws", 401, b"credentials_missing"),
    "nonsense for a token": (("Authorization: Bearer x",), "/ws", 401, b"token_invalid"),
    "an unknown path": ((), "/nowhere", 404, b"not_found"),
    "another host": (("Host: evil.example",), "/anybody", 421, b"request_invalid"),
    "an origin": (("Origin: https://evil.example",), "/anybody", 403, b"origin_denied"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("behind", [b"", frame("early") * 3_000], ids=["", "early"])
@pytest.mark.parametrize("name", REFUSED)
async def test_nothing_is_left_of_a_refused_handshake(name: str, behind: bytes, way: str) -> None:
    """A client that is refused reads why, also when it began to speak at once."""
    lines, path, status, code = REFUSED[name]
    async with ground() as at:
        with uncollected() as left:
            answer = await asked(at, way, *lines, path=path, behind=behind)
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert code in answer
            await eventually(at.idle, "the gateway never became idle")
            await eventually(lambda: not left(), f"left: {left()}")


ANSWERS = {
    "403": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "", 403),
    "401": (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "close", 401),
    "200": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 502),
    "nonsense": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "", 502),
    "a wrong accept": (YES + b"Sec-WebSocket-Accept: AAAA\r\n\r\n", "", 502),
    "a head without end": (b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 4_000, "", 502),
    "half a head and the end": (YES, "close", 502),
    "nothing and the end": (b"", "close", 502),
    "nothing and a reset": (b"", "reset", 502),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ANSWERS)
async def test_nothing_is_left_where_the_upstream_says_no(name: str, way: str) -> None:
    """An upstream that answers anything but a good 101 has the client refused."""
    answer, then, status = ANSWERS[name]
    async with server(answer, then=then) as port, ground(f"ws://127.0.0.1:{port}") as at:
        with uncollected() as left:
            found = await asked(at, way, at.bearer())
            assert found.startswith(b"HTTP/1.1 %d " % status)
            await eventually(at.idle, "the gateway never became idle")
            await eventually(lambda: not left(), f"left: {left()}")


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_is_left_where_nobody_listens(way: str) -> None:
    """An upstream that refuses TCP has the client refused, with a time to come back."""
    async with ground(f"ws://127.0.0.1:{dead_port()}") as at:
        with uncollected() as left:
            found = await asked(at, way, at.bearer())
            assert found.startswith(b"HTTP/1.1 502 ")
            assert b"\r\nretry-after: " in found.lower()
            await eventually(at.idle)
            await eventually(lambda: not left(), f"left: {left()}")


async def test_nothing_is_left_where_the_upstream_is_silent() -> None:
    """An upstream that takes the handshake and says nothing has the client refused after `request_timeout`."""
    async with server(b"") as port, ground(f"ws://127.0.0.1:{port}", request_timeout=0.3) as at:
        with uncollected() as left:
            assert (await asked(at, "socket", at.bearer())).startswith(b"HTTP/1.1 502 ")
            await eventually(at.idle)
            await eventually(lambda: not left(), f"left: {left()}")


async def test_a_backlog_that_is_full_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream that does not accept has the client refused after `upstream_timeout`, and is then left alone."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            async with ground(f"ws://127.0.0.1:{port}", upstream_timeout=0.3) as at:
                with uncollected() as left:
                    assert (await asked(at, "socket", at.bearer())).startswith(b"HTTP/1.1 502 ")
                    began = asyncio.get_running_loop().time()
                    assert (await asked(at, "socket", at.bearer())).startswith(b"HTTP/1.1 502 ")
                    assert asyncio.get_running_loop().time() - began < 0.25
                    await eventually(at.idle)
                    await eventually(lambda: not left(), f"left: {left()}")


async def test_a_second_address_is_tried() -> None:
    """Where the first address refuses TCP the second is tried in the same handshake."""
    async with ground() as other, ground(f"ws://127.0.0.1:{dead_port()}", other.upstream_url) as at:
        for _ in range(4):
            async with at.opened(at.bearer()) as client, other.upstream.end() as backend:
                client.send(hello := frame("hello"))
                assert await backend.reader.readexactly(len(hello)) == hello


async def test_an_upstream_with_tls_is_reached(tmp_path: Path) -> None:
    """`wss://` is verified by name and authority, carries both ways, and nothing is left of it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with ground(tls=context, ca=str(tmp_path / "ca.pem")) as at:
        with uncollected() as left:
            async with at.joined(at.bearer(), path="/ws") as (client, backend):
                client.send(frame("up"))
                assert (await backend.message()).payload == b"up"
                backend.send(frame("down", masked=False))
                assert (await client.message()).payload == b"down"
                client.reset()
                await backend.ends()
            await eventually(at.idle)
            await eventually(lambda: not left(), f"left: {left()}")


@pytest.mark.parametrize("trusted", [True, False], ids=["another name", "another authority"])
async def test_an_upstream_that_is_another_one_is_not_reached(tmp_path: Path, trusted: bool) -> None:
    """A certificate for another name, or of an unknown authority, has the client refused, and nothing is sent."""
    authority = trustme.CA()
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example" if trusted else "127.0.0.1").configure_cert(context)
    async with ground(tls=context, ca=str(tmp_path / "ca.pem")) as at:
        with uncollected() as left:
            assert (await asked(at, "socket", at.bearer())).startswith(b"HTTP/1.1 502 ")
            await eventually(at.idle)
            await eventually(lambda: not left(), f"left: {left()}")


@pytest.mark.parametrize("way", WAYS)
async def test_a_fault_of_ours_ends_one_connection(
    way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody foresaw while a handshake is taken cuts this client, and the next one is served."""
    async with ground() as at:

        def broken(_: Link) -> None:
            raise RuntimeError("nobody foresaw this")

        with monkeypatch.context() as patch:
            patch.setattr(Link, "connect", broken)
            with suppress(ConnectionResetError):
                assert await asked(at, way, at.bearer()) == b""
        assert "a connection failed" in caplog.text
        await eventually(at.idle)
        async with at.joined(at.bearer(), path="/ws", way=way) as (client, backend):
            client.send(frame("hello"))
            assert (await backend.message()).payload == b"hello"


async def test_a_fault_before_there_is_a_link_ends_one_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The listener goes on accepting whatever happens to one connection, also at its very first byte."""
    async with ground() as at:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("nobody foresaw this")

        with monkeypatch.context() as patch:
            patch.setattr(Gateway, "take", broken)
            assert await asked(at, "socket", at.bearer()) == b""
            with socket.create_connection(("127.0.0.1", at.ports["socket"])) as early:
                early.sendall(request("/ws", at.bearer()))  # it is there before the gateway accepts
                reader, writer = await asyncio.open_connection(sock=early)
                async with asyncio.timeout(PATIENCE):
                    assert await reader.read() == b""
                writer.close()
        assert "a connection failed" in caplog.text
        async with at.joined(at.bearer(), path="/ws") as (client, backend):
            client.send(frame("hello"))
            assert (await backend.message()).payload == b"hello"


async def test_a_route_without_an_upstream_is_refused() -> None:
    """A path that no upstream stands for is a 502, not an error of ours."""
    async with ground() as at:
        at.gateway._upstreams = {}
        assert (await asked(at, "socket", at.bearer())).startswith(b"HTTP/1.1 502 ")


async def test_names_are_looked_up_at_the_start() -> None:
    """A name of several addresses, of which only one answers, is reached each time."""
    upstream = Upstream(["ws://localhost:1"])
    await upstream.start()
    assert {address.place[1][0] for address in upstream.candidates()} <= {"127.0.0.1", "::1"}
    async with ground() as other, ground(f"ws://localhost:{other.upstream.port}") as at:
        for _ in range(4):
            async with at.opened(at.bearer()) as client, other.upstream.end() as backend:
                client.send(frame("hello"))
                assert (await backend.message()).payload == b"hello"


async def test_a_dead_token_in_a_loop_waits_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who comes after the eleventh replay is answered before it."""
    monkeypatch.setattr(connection, "SLOW", 3.0)
    async with ground() as at:
        dead = at.bearer(ttl=-60)
        for _ in range(10):
            assert b"token_expired" in await asked(at, "socket", dead)
        waiting = asyncio.create_task(asked(at, "socket", dead))
        await eventually(lambda: len(at.guard.connections) == 1)
        async with at.joined(at.bearer("bob"), path="/ws"):
            assert not waiting.done()
        assert b"rate_limited" in await waiting
