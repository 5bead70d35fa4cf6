"""A small HTTP client that keeps its connection: the load must cost less than what it loads."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

ANSWER_TIMEOUT = 30.0
"""Seconds."""


class Client:
    """One connection to a port of loopback, one request at a time."""

    def __init__(self, port: int, token: str = "") -> None:
        """Remember where to, and the access token that every request brings."""
        self._port = port
        self._bearer = f"Authorization: Bearer {token}\r\n" if token else ""

    async def __aenter__(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self._writer.close()

    async def post(self, path: str, **body: object) -> tuple[int, dict[str, Any]]:
        """Send JSON, and return the status and the answer."""
        content = json.dumps(body).encode()
        return await self._ask(
            "POST", path, f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n", content
        )

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer."""
        return await self._ask("GET", path, "", b"")

    async def _ask(self, method: str, path: str, fields: str, content: bytes) -> tuple[int, dict[str, Any]]:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{self._bearer}{fields}\r\n"
        async with asyncio.timeout(ANSWER_TIMEOUT):
            self._writer.write(head.encode() + content)
            return await self._answer()

    async def _answer(self) -> tuple[int, dict[str, Any]]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length:")[2].partition("\r\n")[0]
        content = await self._reader.readexactly(int(length or 0))
        return int(head[9:12]), json.loads(content or b"{}")


async def log_in(client: Client, name: str, password: str) -> dict[str, Any]:
    """Log in, and return the answer: `access_token`, `refresh_token`, `session_id` …"""
    status, answer = await client.post("/auth/login", username=name, password=password)
    if status != 200:
        raise ConnectionError(f"the login of {name} was answered with {status}")
    return answer
