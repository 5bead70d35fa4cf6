"""uvicorn's WebSocket protocol, mended: what comes before the 101 waits for it, and every no is a problem.

uvicorn reads frames while the handshake is undecided; the WebSocket library's own answers are plain text that repeats
what the peer sent. Both come behind `wsauth.serve.heads`, so the library says no only where a header that we do not
read has a bad grammar.
"""

import asyncio
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.server import ServerProtocol

from wsauth.serve.problems import problem

__all__ = ["WebSocketProtocol"]

_EARLY: Final = 65_536
"""Bytes that may wait for the answer to the handshake; beyond, nothing more is read."""
_CODES: Final = {403: "permission_denied", 500: "unavailable", 503: "unavailable"}


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Be one WebSocket."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn.reject = self._reject  # type: ignore[method-assign]  # the library calls it for all its refusals
        self._early = bytearray()

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated or self.handshake_complete:
            super().data_received(data)
            return
        self._early += data
        if len(self._early) > _EARLY:
            self.transport.pause_reading()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.http.response.start":
            message["headers"] = [*self.default_headers, *message.get("headers", [])]
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            # An application that denied has answered; uvicorn would log that it has not.
            self.handshake_complete = True
        if self._early and self.handshake_complete:
            early, self._early = bytes(self._early), bytearray()
            if not self.close_sent:
                if len(early) > _EARLY:
                    self.transport.resume_reading()
                super().data_received(early)

    def _reject(self, status: Any, text: str) -> Response:
        """Return a problem instead of the library's plain text."""
        made = ServerProtocol.reject(self.conn, status, text)
        code = _CODES.get(made.status_code, "request_invalid")
        rule = text.strip() or "the application closed before it accepted"
        headers, body = problem(code, made.status_code, rule, self.client[0] if self.client else "")
        known = [(name.decode(), value.decode()) for name, value in [*self.default_headers, *headers]]
        return Response(made.status_code, made.reason_phrase, Headers(known), body)
