"""The program curl as a WebSocket client: it asks for the upgrade and shows the bytes, and we read the frames."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_bytes

PATIENCE = 10  # seconds until curl gives up by itself
TEXT, CLOSE = 1, 8


class Answer:
    """What a server sends to curl.

    Attributes:
        status: of the HTTP response.
        headers: of the HTTP response, names in lower case.
    """

    def __init__(self, head: bytes, output: asyncio.StreamReader) -> None:
        """Read the head; the rest is still to come."""
        status_line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status_line.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        self._output = output

    async def body(self) -> bytes:
        """Return the body of a response that is no 101."""
        return await self._output.read()

    async def frame(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame (RFC 6455 section 5.2).

        Raises:
            asyncio.IncompleteReadError: the connection ended without a close frame, or curl ran out of patience.
        """
        first, length = await self._output.readexactly(2)
        assert first & 0xF0 == 0x80, "nothing here is in fragments or needs an extension"
        assert length < 127, "a server does not mask, and nothing here is that long"
        if length == 126:
            length = int.from_bytes(await self._output.readexactly(2))
        return first & 0x0F, await self._output.readexactly(length)


@asynccontextmanager
async def upgrading(curl: Path, url: str, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
    """Run curl with the headers of a WebSocket handshake, and those; stop it at the end of the block."""
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": b64encode(token_bytes(16)).decode(),
    }
    options = [part for name, value in {**handshake, **headers}.items() for part in ("--header", f"{name}: {value}")]
    process = await asyncio.create_subprocess_exec(
        curl,
        *("--disable", "--silent", "--show-error", "--noproxy", "*", "--globoff"),
        *("--http1.1", "--no-buffer", "--include", "--max-time", str(PATIENCE), *options, url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield Answer(await process.stdout.readuntil(b"\r\n\r\n"), process.stdout)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
