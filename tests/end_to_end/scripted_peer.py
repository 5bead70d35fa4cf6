"""The server side of PROTOCOL.md, played line by line by a test: it decides nothing by itself."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

PATIENCE = 10.0  # seconds
IDENTITY = {"issuer": "https://login.example.com", "subject": "alice"}
RIGHTS = {"roles": ["member"], "permissions": ["chat:lobby:read"]}


class Line:
    """One socket that a client opened."""

    def __init__(self, connection: ServerConnection) -> None:
        """Take over an accepted connection."""
        self._connection = connection
        request = connection.request
        assert request is not None
        self.path = request.path
        self.offers = [name.strip() for name in request.headers["Sec-WebSocket-Protocol"].split(",")]

    async def send(self, message: str | bytes) -> None:
        """Send an application's message as it is."""
        await self._connection.send(message)

    async def say(self, kind: str, **members: Any) -> None:
        """Send a control message."""
        await self._connection.send(json.dumps({"type": kind, "wsauth": 1, **members}))

    async def require(self) -> None:
        """Ask for credentials, as after a handshake without any."""
        await self.say("auth_required", accept=["token", "ticket"], timeout=10)

    async def grant(self, **members: Any) -> None:
        """Say that Alice is in; `expires_in` and `renew_in` (seconds) where given."""
        await self.say("auth_success", **IDENTITY, **RIGHTS, **members)

    async def refuse(self, code: str, action: str, *, closing: bool = False, **members: Any) -> None:
        """Say no; where it is closing, a close has to follow."""
        error = {"error": f"{code}, in words", "code": code, "action": action, "id": "a1B2c3D4e5F6"}
        await self.say("auth_error", **error, closing=closing, **members)

    async def hear(self) -> Any:
        """Return the next message of the client, decoded where it is JSON."""
        async with asyncio.timeout(PATIENCE):
            message = await self._connection.recv()
        return json.loads(message) if message[:1] == "{" else message

    async def admit(self, **members: Any) -> str:
        """Ask for credentials, take whatever token comes, say yes, and return the token."""
        await self.require()
        token = (await self.hear())["token"]
        await self.grant(**members)
        assert isinstance(token, str)
        return token

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a close frame."""
        await self._connection.close(code, reason)

    async def cut(self) -> None:
        """Reset TCP, which a browser shows as 1006."""
        self._connection.transport.abort()
        await self._connection.wait_closed()

    async def gone(self) -> tuple[int | None, str | None]:
        """Wait until the client has closed; return its code and reason."""
        async with asyncio.timeout(PATIENCE):
            await self._connection.wait_closed()
        return self._connection.close_code, self._connection.close_reason


class ScriptedPeer:
    """A server whose sockets a test takes up one after the other."""

    def __init__(self) -> None:
        """Wait for the first socket."""
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        self._server: Server | None = None
        self.knocks = 0  # handshakes, the refused ones too
        self.refusing = False  # with HTTP 503

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/ws"

    async def line(self) -> Line:
        """Take up the next socket."""
        async with asyncio.timeout(PATIENCE):
            return await self._lines.get()

    async def _handle(self, connection: ServerConnection) -> None:
        await self._lines.put(Line(connection))
        await connection.wait_closed()

    def _knock(self, connection: ServerConnection, _request: Request) -> Response | None:
        self.knocks += 1
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "") if self.refusing else None

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Listen on a free loopback port."""
        listening = serve(
            self._handle,
            "127.0.0.1",
            0,
            select_subprotocol=_select,
            process_request=self._knock,
            compression=None,
            close_timeout=1,
        )
        async with listening as self._server:
            yield


def _select(_connection: ServerConnection, offers: Sequence[Subprotocol]) -> Subprotocol | None:
    """Answer as PROTOCOL.md says: the application's choice, else wsauth.v1."""
    own = [offer for offer in offers if not offer.startswith("wsauth.")]
    return next(iter([*own, *offers]), None)
