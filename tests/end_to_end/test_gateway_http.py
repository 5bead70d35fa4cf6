"""HTTP on the gateway's port: what was read while looking for a handshake, and what comes behind it, stay in order."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from tests.wsauth_server import serving

REQUESTS = 200
BODY = b'{"refresh_token":"wsr_none"}'
HEAD = (
    b"POST /auth/refresh HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY)
)


async def status_of(port: int, yields: int) -> bytes:
    """Return the answer's status line to a request whose body comes a moment behind its head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(HEAD)
        for _ in range(yields):
            await asyncio.sleep(0)
        writer.write(BODY)
        return (await reader.readline()).rstrip()
    finally:
        writer.transport.abort()


async def test_a_body_right_behind_its_head_is_read_behind_it(tmp_path: Path) -> None:
    """The transport reads as soon as it is made, and what the gateway had read before comes first all the same."""
    async with serving(tmp_path) as server:
        port = urlsplit(server.http).port or 0
        for _ in range(REQUESTS // 20):
            answers = await asyncio.gather(*(status_of(port, at % 7) for at in range(20)))
            assert set(answers) == {b"HTTP/1.1 401 Unauthorized"}
