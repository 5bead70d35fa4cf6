"""What stands behind: an echo that conforms, and a server that does what the test tells it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ssl import SSLContext

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from tests.rfc6455.peer import PATIENCE, Peer

__all__ = ["Echo", "Scripted", "Seen", "echo", "scripted"]


@dataclass
class Seen:
    """Hold what a backend saw of one connection.

    Attributes:
        messages: how many whole messages came.
        told: code of the close frame that came, 1005 for one without; `None` where TCP ended without one.
        reason: of that frame, up to the id.
        over: the connection has ended.
    """

    messages: int = 0
    told: int | None = None
    reason: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def ended(self) -> "Seen":
        """Wait until the connection has ended."""
        async with asyncio.timeout(PATIENCE):
            await self.over.wait()
        return self


class Echo:
    """Be the websockets library's server, which sends every message back whole, and compresses for who offers it.

    Attributes:
        port: of 127.0.0.1.
        seen: what it saw, by the `case` in the query.
    """

    def __init__(self) -> None:
        self.port = 0
        self.seen: dict[str, Seen] = {}

    async def handle(self, connection: ServerConnection) -> None:
        """Serve one connection."""
        assert connection.request is not None
        seen = self.seen[connection.request.path.rpartition("case=")[2]] = Seen()
        try:
            with suppress(ConnectionClosed):
                async for message in connection:
                    seen.messages += 1
                    with suppress(ConnectionClosed):  # a client that has left still gets its messages counted
                        await connection.send(message)
            await connection.wait_closed()
        finally:
            if (told := connection.protocol.close_rcvd) is not None:
                seen.told, seen.reason = int(told.code), told.reason.partition(";")[0]
            seen.over.set()


@asynccontextmanager
async def echo() -> AsyncGenerator[Echo]:
    """Run the echo on this loop until the block ends."""
    backend = Echo()
    # No pings and no limit of its own: what a test sees is the answer to what it sent.
    async with serve(backend.handle, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=1) as server:
        backend.port = server.sockets[0].getsockname()[1]
        yield backend


class Scripted:
    """Be a server that shakes hands, and then does what the test does with its end.

    Attributes:
        port: of 127.0.0.1.
    """

    def __init__(self) -> None:
        self.port = 0
        self._ends: asyncio.Queue[Peer] = asyncio.Queue()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Shake hands, and hand over the end."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        key = next(line.partition(":")[2].strip() for line in head if line.lower().startswith("sec-websocket-key:"))
        answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        writer.write("\r\n".join([*answer, f"Sec-WebSocket-Accept: {accept_key(key)}", "", ""]).encode())
        await self._ends.put(Peer(reader, writer, server=True))

    @asynccontextmanager
    async def end(self) -> AsyncGenerator[Peer]:
        """Take the end of the connection that was opened last, and cut it when the block ends."""
        async with asyncio.timeout(PATIENCE):
            peer = await self._ends.get()
        try:
            yield peer
        finally:
            peer.writer.transport.abort()


@asynccontextmanager
async def scripted(tls: SSLContext | None = None) -> AsyncGenerator[Scripted]:
    """Run the scripted server on this loop until the block ends."""
    backend = Scripted()
    server = await asyncio.start_server(backend.handle, "127.0.0.1", 0, ssl=tls)
    backend.port = server.sockets[0].getsockname()[1]
    try:
        yield backend
    finally:
        server.close()
