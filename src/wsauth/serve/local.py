"""Applications in this process (`echo`, `asgi:package.module:app`): ordinary upstreams, on unix sockets of our own.

The gateway reaches them as it reaches any other. What they have beside is the connection itself, in `scope["wsauth"]`,
as under the middleware.
"""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from wsauth.errors import ConnectionClosed, PermissionDenied
from wsauth.guard import Guard
from wsauth.integrations.asgi.types import App, AsgiMessage, Receive, Scope, Send
from wsauth.integrations.asgi.user import User
from wsauth.services.connections.connection import Connection

__all__ = ["LocalServers"]

_BACKLOG: Final = 4096
_LARGEST: Final = 1 << 40
"""Bytes of a message that uvicorn takes: the gateway has a limit of its own, in front."""
_ID: Final = b"x-wsauth-connection"


class LocalServers:
    """Serve applications, each on a unix socket in a folder that only this user enters.

    Args:
        applications: by their names.
        guard: knows the connections.
        compression: permessage-deflate may be negotiated with them.

    Attributes:
        urls: for each name, where it is served.
    """

    def __init__(self, applications: Mapping[str, App], guard: Guard, *, compression: bool) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wsauth-"))
        self.urls = {name: f"unix:{self._folder / str(at)}" for at, name in enumerate(applications)}
        self.servers = [
            _Server(Known(app, guard), self._folder / str(at), compression=compression)
            for at, app in enumerate(applications.values())
        ]

    async def ready(self) -> None:
        """Wait until all of them accept."""
        for server in self.servers:
            await server.accepts.wait()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


class _Server(uvicorn.Server):
    """Be uvicorn on one unix socket, without its signals."""

    def __init__(self, app: App, path: Path, *, compression: bool) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            interface="asgi3",
            lifespan="off",
            ws=_Protocol,
            ws_max_size=_LARGEST,
            ws_per_message_deflate=compression,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.accepts = asyncio.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(_BACKLOG)
        self._listener.setblocking(False)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to the process."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `should_exit`."""
        await super().serve([self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept."""
        await super().startup(sockets)
        self.accepts.set()


class _Protocol(WebSocketsSansIOProtocol):
    """Be uvicorn's WebSocket; of an application that denied a handshake it would log that it has not answered."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True


class Known:
    """Give an application the connection that it serves, and end it as the middleware would.

    Args:
        app: the application.
        guard: knows the connections.
    """

    def __init__(self, app: App, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        connection = self._guard.connection(headers.get(_ID, b"").decode("latin-1"))
        if scope["type"] != "websocket" or connection is None:
            await _refuse(scope, send)
            return
        about = connection.machine.about
        scope["headers"] = [header for header in scope["headers"] if header[0] != _ID]
        scope["client"] = (about.address, 0) if about.address else None
        scope["scheme"] = "wss" if headers.get(b"x-forwarded-proto") == b"https" else "ws"
        scope["wsauth"] = connection
        scope["user"] = scope["auth"] = User(connection)
        conversation = _Conversation(connection, receive, send)
        try:
            await self._app(scope, conversation.receive, conversation.send)
        except PermissionDenied as error:
            connection.end(error)
            await conversation.deny()
        except ConnectionClosed:
            await conversation.deny()
        except Exception as error:
            if conversation.over and type(error).__name__ == "WebSocketDisconnect":
                return  # an application that does not catch what Starlette tells it of a close
            await conversation.close(1011)
            raise
        else:
            await conversation.close(1000)


class _Conversation:
    """Be one application's `receive` and `send`."""

    def __init__(self, connection: Connection, receive: Receive, send: Send) -> None:
        self._connection = connection
        connection.number()
        self._receive = receive
        self._send = send
        self._accepted = False
        self.over = False

    async def receive(self) -> AsgiMessage:
        """Count what was received: `Connection.refuse` names the message that came last."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._connection.took()
        elif message["type"] == "websocket.disconnect":
            self.over = True
        return message

    async def send(self, message: AsgiMessage) -> None:
        """Take note of an accept and of an end."""
        kind = message["type"]
        self._accepted = self._accepted or kind == "websocket.accept"
        self.over = self.over or kind in ("websocket.close", "websocket.http.response.body")
        await self._send(message)

    async def deny(self) -> None:
        """Answer a handshake that wsauth has refused by now, so that uvicorn does not miss an answer."""
        if not self._accepted and not self.over:
            self.over = True
            with contextlib.suppress(OSError, RuntimeError):
                await self._send({"type": "websocket.close"})

    async def close(self, code: int) -> None:
        """Close for an application that is done and did not say so."""
        if self._accepted and not self.over:
            self.over = True
            with contextlib.suppress(OSError, RuntimeError):
                await self._send({"type": "websocket.close", "code": code})


async def _refuse(scope: Scope, send: Send) -> None:
    """Let nobody in who does not come from the gateway."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        start: dict[str, Any] = {"type": "http.response.start", "status": 404, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b""})
