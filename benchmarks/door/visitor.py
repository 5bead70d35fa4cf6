"""Come to a server as one of many: logins, handshakes and messages over sockets of one's own."""

import asyncio
import base64
import json
import os
import struct
from dataclasses import dataclass
from typing import Any, Self

PATIENCE = 60.0
"""Seconds that any answer may take."""

HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
CLOSE, TEXT = 8, 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to a request.

    Attributes:
        status: of HTTP.
        code: of wsauth; empty where nothing was refused.
        head: as it came.
        retry_after: seconds; 0 where it says nothing.
    """

    status: int
    code: str
    head: str
    retry_after: float


class Visitor:
    """One connection to a port of loopback.

    Args:
        port: of the server.
        address: that X-Forwarded-For tells; empty: there is no such field.
        peer: the address of loopback that it comes from.
    """

    def __init__(self, port: int, address: str = "", peer: str = "127.0.0.1") -> None:
        self._port = port
        self._peer = peer
        self._forwarded = f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n" if address else ""

    async def __aenter__(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._peer, 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        self._writer.close()

    async def log_in(self, name: str, password: str, cookie: str = "") -> Answer:
        """Log in by HTTP; the cookie is a device's."""
        body = json.dumps({"username": name, "password": password, "cookie": True})
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        return await self.ask("POST /auth/login", fields + (f"Cookie: {cookie}\r\n" if cookie else ""), body)

    async def shake(self, fields: str = "", path: str = "/ws") -> Answer:
        """Ask for a WebSocket with fields of one's own."""
        return await self.ask(f"GET {path}", HANDSHAKE + fields)

    async def ask(self, what: str, fields: str, body: str = "") -> Answer:
        """Send a request, and return the answer."""
        head = f"{what} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{fields}{self._forwarded}\r\n{body}"
        async with asyncio.timeout(PATIENCE):
            self._writer.write(head.encode())
            said = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = _field(said, "content-length")
            content = await self._reader.readexactly(int(length or 0))
        problem = json.loads(content) if _field(said, "content-type").startswith("application/problem") else {}
        return Answer(int(said[9:12]), problem.get("code", ""), said, float(_field(said, "retry-after") or 0))

    async def say(self, text: str) -> None:
        """Send a text message."""
        content, mask = text.encode(), os.urandom(4)
        size = bytes([0x80 | len(content)]) if len(content) < 126 else b"\xfe" + struct.pack(">H", len(content))
        masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(content))
        self._writer.write(bytes([0x80 | TEXT]) + size + mask + masked)

    async def hear(self) -> str:
        """Return the next text message; of a close frame, its reason.

        Raises:
            ConnectionError: it was closed with no reason.
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                first, size = await self._reader.readexactly(2)
                if size == 126:
                    size = int.from_bytes(await self._reader.readexactly(2), "big")
                content = await self._reader.readexactly(size)
                if first & 15 == TEXT:
                    return content.decode()
                if first & 15 == CLOSE:
                    if len(content) > 2:
                        return content[2:].decode()
                    raise ConnectionError("closed with no reason")

    async def introduce(self, **credential: str) -> str:
        """Authenticate by a message; return the code of the refusal, empty where there is none."""
        await self.say(json.dumps({"type": "auth", **credential}))
        while True:
            answer = await self.hear()
            if not answer.startswith("{"):
                return answer.partition(";")[0]
            said: dict[str, Any] = json.loads(answer)
            if said["type"] == "auth_success":
                return ""
            if said["type"] == "auth_error":
                return str(said["code"])

    async def echoes(self, text: str = "still there?") -> bool:
        """Say whether a message comes back."""
        await self.say(text)
        return await self.hear() == text


def basic(name: str, password: str) -> str:
    """Return the field of a password by Basic."""
    return f"Authorization: Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}\r\n"


def bearer(token: str) -> str:
    """Return the field of a token."""
    return f"Authorization: Bearer {token}\r\n"


def cookie_of(head: str, name: str) -> str:
    """Return the cookie with this in its name as it is to be sent back; empty where none was set."""
    found = next((line for line in head.splitlines() if line.lower().startswith("set-cookie:") and name in line), "")
    return found.partition(": ")[2].partition(";")[0]


def _field(head: str, name: str) -> str:
    found = head.lower().partition(f"\r\n{name}:")[2]
    return found.partition("\r\n")[0].strip()
