"""A client that does what no library lets one do: bytes on a TCP socket."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from tests.conformance.client import PATIENCE, Site

__all__ = ["Raw", "frame", "raw"]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455 section 1.3."""


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """Return a masked frame (RFC 6455 section 5.2)."""
    length = len(payload)
    head = bytes([(0x80 if final else 0) | opcode])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += b"\xfe" + struct.pack("!H", length)
    else:
        head += b"\xff" + struct.pack("!Q", length)
    mask = os.urandom(4)
    stream = mask * (length // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(stream[:length], "big")
    return head + mask + masked.to_bytes(length, "big")


class Raw:
    """Be one TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def upgrade(self, path: str, headers: Mapping[str, str]) -> None:
        """Send a handshake and do not wait for its answer."""
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        await self.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    async def status(self) -> int:
        """Return the status of the answer, 0 where TCP ends without one."""
        async with asyncio.timeout(PATIENCE):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0
        return int(head.split(b" ", 2)[1])

    async def receive(self) -> tuple[int, bytes]:
        """Return the next unmasked frame: opcode and payload."""
        async with asyncio.timeout(PATIENCE):
            first, second = await self.reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                length = struct.unpack("!H", await self.reader.readexactly(2))[0]
            elif length == 127:
                length = struct.unpack("!Q", await self.reader.readexactly(8))[0]
            return first & 0x0F, await self.reader.readexactly(length)

    async def close_code(self) -> int:
        """Return the code of the close frame, whatever comes before it; 0 where TCP ends without one."""
        try:
            while True:
                opcode, payload = await self.receive()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big") or 1005
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0

    async def ended(self) -> None:
        """Wait until the server has ended TCP, reading nothing but its end."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(1 << 16):
                    pass
            except ConnectionError:
                return

    def read(self, wanted: bool) -> None:
        """Go on reading from TCP, or stop."""
        transport = self.writer.transport
        assert isinstance(transport, asyncio.Transport)
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def reset(self) -> None:
        """End TCP with RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def raw(site: Site) -> AsyncGenerator[Raw]:
    """Connect by TCP until the block ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.running.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
