"""A client that sends what no client library would: bytes over TCP, frames with any header."""

import asyncio
import json
import os
import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.leaks import secret

__all__ = ["KEY", "Answer", "Frame", "Wire", "ask", "frame", "request", "wire"]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PATIENCE = 8.0
"""Seconds after which the silence of a server fails a test."""
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Answer:
    """Hold the answer to a handshake; status 0 is a connection that ended without one."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header's value, or empty."""
        return next((value for each, value in self.headers if each == name), "")

    @property
    def code(self) -> str:
        """Return the refusal's code, or empty where the server answered before wsauth."""
        with suppress(ValueError):
            found: str = json.loads(self.body).get("code", "")
            return found
        return ""


@dataclass(frozen=True)
class Frame:
    """Hold one frame of the server."""

    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        """Return a close frame's code; 1005 without one."""
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else 1005

    @property
    def reason(self) -> str:
        """Return a close frame's reason, up to the id."""
        return self.payload[2:].decode().partition(";")[0]


def request(path: str = "/ws", *lines: str, without: Sequence[str] = (), start: str = "") -> bytes:
    """Return a handshake with these header lines; one that has a usual one's name stands in its place."""
    usual = {
        "Host": "127.0.0.1",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    named = {line.partition(":")[0].lower() for line in lines} | {name.lower() for name in without}
    kept = [f"{name}: {value}" for name, value in usual.items() if name.lower() not in named]
    return "\r\n".join([start or f"GET {path} HTTP/1.1", *kept, *lines, "", ""]).encode("latin-1")


def frame(
    payload: str | bytes, opcode: int | None = None, *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """Return one frame of a client."""
    content = payload.encode("utf-8", "surrogatepass") if isinstance(payload, str) else payload
    kind = opcode if opcode is not None else (TEXT if isinstance(payload, str) else BINARY)
    size = len(content)
    length = (
        bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65_536 else b"\x7f" + size.to_bytes(8)
    )
    mark = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | kind, length[0] | mark]) + length[1:]
    if not masked:
        return head + content
    mask = os.urandom(4)
    stream = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(content) ^ int.from_bytes(stream)).to_bytes(size)


class Wire:
    """Be one TCP connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *parts: bytes) -> None:
        """Write bytes, all in one go."""
        with suppress(ConnectionError):
            self.writer.write(b"".join(parts))

    async def answer(self, within: float = PATIENCE) -> Answer:
        """Return the answer to the handshake."""
        try:
            async with asyncio.timeout(within):
                head = await self.reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").rstrip().split("\r\n")
                pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
                answer = Answer(int(first.split(" ")[1]), pairs)
                length = int(answer.header("content-length") or 0)
                return Answer(answer.status, pairs, await self.reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return Answer(0)

    async def verdict(self) -> Answer:
        """Return the answer to the handshake, a refusal that was accepted and closed as one of status 0."""
        answer = await self.answer()
        if answer.status == 101:
            with suppress(TimeoutError):
                end = await self.frame(within=0.3)
                if end is None or end.opcode == CLOSE:
                    reason = "" if end is None else end.reason
                    return Answer(0, answer.headers, json.dumps({"code": reason}).encode())
        return answer

    async def frame(self, within: float = PATIENCE) -> Frame | None:
        """Return the next frame, or `None` when TCP has ended."""
        try:
            async with asyncio.timeout(within):
                kind, size = await self.reader.readexactly(2)
                if size == 126:
                    size = int.from_bytes(await self.reader.readexactly(2))
                elif size == 127:
                    size = int.from_bytes(await self.reader.readexactly(8))
                return Frame(kind & 15, await self.reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def text(self, within: float = PATIENCE) -> str:
        """Return the next text message; anything else but ping and pong fails the test."""
        while True:
            found = await self.frame(within)
            assert found is not None, "TCP ended"
            if found.opcode not in (PING, PONG):
                assert found.opcode == TEXT, f"{found.close_code} {found.reason}"
                return found.payload.decode()

    async def message(self, kind: str, within: float = PATIENCE) -> dict[str, Any]:
        """Return the next message, which must be a control message of this type."""
        found: dict[str, Any] = json.loads(await self.text(within))
        assert found["type"] == kind, found
        return found

    async def closed(self, within: float = PATIENCE) -> Frame:
        """Return the close frame, whatever comes before it."""
        while True:
            found = await self.frame(within)
            assert found is not None, "TCP ended without a close frame"
            if found.opcode == CLOSE:
                return found

    async def ended(self, within: float = PATIENCE) -> bool:
        """Answer a close and tell whether TCP ends in time."""
        self.send(frame(b"\x03\xe8", CLOSE))
        return await self.cut(within)

    async def cut(self, within: float = PATIENCE) -> bool:
        """Tell whether TCP ends in time without our help."""
        try:
            async with asyncio.timeout(within):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True


@asynccontextmanager
async def wire(port: int, *parts: bytes) -> AsyncGenerator[Wire]:
    """Connect, and send these bytes in one segment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = Wire(reader, writer)
    try:
        found.send(*parts)
        yield found
    finally:
        writer.transport.abort()


async def ask(port: int, what: str, *lines: str, **asked: str) -> Any:
    """Return what the application's control surface answers to a request with these header lines."""
    start = f"GET /control/{what}?{urlencode(asked)} HTTP/1.1"
    head = "\r\n".join([start, "Host: 127.0.0.1", "Connection: close", *lines, "", ""])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
    finally:
        writer.close()
    _, _, body = answer.partition(b"\r\n\r\n")
    if b"chunked" in answer.partition(b"\r\n\r\n")[0].lower():
        body = _unchunked(body)
    said = json.loads(body)
    return secret(said, "a ticket") if what == "ticket" else said


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole += body[:length]
        body = body[length + 2 :]
        if length == 0:
            break
    return whole
