"""One end of a connection that does what no library lets one do: frames with any header, in any pieces, on either end.

Frames are written with `frame` of `tests.attacks.wire`; `wide` is for the lengths that it would not write.
"""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ssl import SSLContext

from tests.attacks.wire import BINARY, CLOSE, PING, PONG, TEXT, frame, request

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Peer",
    "Received",
    "Site",
    "frame",
    "opened",
    "wide",
]

CONTINUATION = 0
PATIENCE = 10.0
"""Seconds after which silence fails a test."""
_PROMPT = 3.0
"""Seconds that the end of TCP may take once both ends have said that they close: less than any deadline for it."""
_APART = 0.003
"""Seconds between two pieces that the receiver has to read one by one: nothing tells a sender that they were read."""


@dataclass(frozen=True)
class Received:
    """Hold one frame."""

    final: bool
    rsv: int
    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """Return a close frame's code; 1005 without one."""
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else 1005

    @property
    def reason(self) -> str:
        """Return a close frame's reason, up to the id."""
        return self.payload[2:].decode().partition(";")[0]


@dataclass(frozen=True)
class Site:
    """Say where an echo answers.

    Attributes:
        via: `direct`, or what is between.
        port: of 127.0.0.1.
        path: of the handshake.
        lines: of its head, beside the usual ones.
        tls: for a site that is reached over TLS.
        greets: the first message is wsauth's `auth_success`.
    """

    via: str
    port: int
    path: str
    lines: tuple[str, ...] = ()
    tls: SSLContext | None = field(default=None, repr=False)
    greets: bool = False


def wide(payload: bytes, opcode: int, octets: int, *, length: int | None = None, masked: bool = True) -> bytes:
    """Return a final frame whose length stands in 2 or 8 octets, needed or not (RFC 6455 section 5.2)."""
    mask = bytes(4) if masked else b""  # a mask of zeros leaves the payload as it is
    second = (126 if octets == 2 else 127) | (0x80 if masked else 0)
    size = len(payload) if length is None else length
    return bytes([0x80 | opcode, second]) + size.to_bytes(octets) + mask + payload


class Peer:
    """Be one end of a connection whose handshake is done.

    Attributes:
        reader: of TCP.
        writer: of TCP.
        server: this end is the server, and gets masked frames.
        head: of the answer to a client's handshake.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, server: bool = False) -> None:
        self.head = b""
        self.reader = reader
        self.writer = writer
        self.server = server

    def send(self, *parts: bytes) -> None:
        """Write bytes, all in one go."""
        self.writer.write(b"".join(parts))

    async def send_in_pieces(self, *pieces: bytes) -> None:
        """Write pieces that the other end reads one by one."""
        for piece in pieces:
            self.writer.write(piece)
            with suppress(ConnectionError):
                await self.writer.drain()
            await asyncio.sleep(_APART)

    async def receive(self) -> Received:
        """Return the next frame, which must be masked by a client and not by a server (RFC 6455 section 5.1).

        Raises:
            EOFError: TCP has ended.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                if size > 125:
                    size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
                assert (second >= 0x80) is self.server, "the frame's mask is wrong"
                key = await self.reader.readexactly(4) if self.server else b""
                payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError("TCP has ended") from error
        return Received(first >= 0x80, first >> 4 & 7, first & 15, _unmasked(payload, key) if key else payload)

    async def message(self) -> Received:
        """Return the next frame, which must be a message in one piece; pongs may come before it."""
        found = await self.receive()
        while found.opcode == PONG:
            found = await self.receive()
        said = f"{found.code} {found.payload[2:]!r}" if found.opcode == CLOSE else f"opcode {found.opcode}"
        assert found.opcode in (TEXT, BINARY), said
        assert found.final
        return found

    async def closed(self) -> Received:
        """Return the close frame, whatever comes before it."""
        found = await self.receive()
        while found.opcode != CLOSE:
            found = await self.receive()
        return found

    async def ends(self) -> None:
        """See the other end end TCP, which it must do at once and without our help (section 7.1.1)."""
        async with asyncio.timeout(_PROMPT):
            with suppress(ConnectionError):
                while await self.reader.read(65_536):
                    pass

    async def leave(self) -> None:
        """Answer the close frame that came, and see TCP end."""
        self.send(frame(b"\x03\xe8", CLOSE, masked=not self.server))
        await self.ends()

    def end_writing(self) -> None:
        """Send FIN, and go on reading (RFC 9293 section 3.6)."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Send RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def _unmasked(payload: bytes, key: bytes) -> bytes:
    stream = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(stream)).to_bytes(len(payload))


@asynccontextmanager
async def opened(site: Site, case: str = "") -> AsyncGenerator[Peer]:
    """Connect to a site, and shake hands.

    Args:
        site: where.
        case: stands in the query, so that the backend can tell whose connection it is.
    """
    host = "127.0.0.1" if site.tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=site.tls, server_hostname=host)
    peer = Peer(reader, writer)
    try:
        writer.write(request(f"{site.path}?case={case or os.urandom(4).hex()}", *site.lines))
        async with asyncio.timeout(PATIENCE):
            peer.head = await reader.readuntil(b"\r\n\r\n")
        assert peer.head.startswith(b"HTTP/1.1 101 "), peer.head
        if site.greets:
            assert b'"auth_success"' in (await peer.message()).payload
        yield peer
    finally:
        writer.transport.abort()
