"""uvicorn's HTTP protocol behind a strict front: whole checked heads, one request at a time, one deadline.

uvicorn has no limit and no deadline for heads, takes what its parser takes, starts the application before the body is
there, lets trailers become headers, and loses what comes behind a handshake. Here the parser gets a head only when it
is whole and checked (`wsauth.core.request`), the application a request only with its whole body, and the next request
waits until the last one is answered, so that nothing is ever answered out of order.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from wsauth.core.request import BODY_LIMIT, CHUNKED, END, BadHead, Request, plain, read
from wsauth.gateway.responses import problem, response

__all__ = ["HttpProtocol", "protocol"]

_LINGER: Final = 0.5
"""Seconds that a refused peer may go on sending, so that the refusal is not lost in a reset (RFC 9112 section 9.6)."""
TIMEOUT, BODY_TOO_LARGE, HEAD_TOO_LARGE, BAD_REQUEST, NOT_FOUND = 408, 413, 431, 400, 404


Upgrade = Callable[[Any, Request, bytes, str], None]
"""Takes a transport, the handshake that came on it, what came behind that, and the peer's address."""


def protocol(head_limit: int, timeout: float, upgrade: Upgrade | None) -> Callable[..., "HttpProtocol"]:
    """Return what makes a protocol for each connection.

    Args:
        head_limit: bytes of a request's head.
        timeout: seconds until a head is whole, from the accept or the last answer; again until the body is.
        upgrade: takes a WebSocket handshake, also on a connection that was used before; `None` where there are none.
    """
    return partial(HttpProtocol, head_limit, timeout, upgrade)


class HttpProtocol(HttpToolsProtocol):
    """Be one connection that speaks HTTP, until it becomes a WebSocket."""

    def __init__(
        self,
        head_limit: int,
        timeout: float,
        upgrade: Upgrade | None,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        received: bytes = b"",
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._first = received
        self._head_limit = head_limit
        self._timeout = timeout
        self._upgrade = upgrade
        self._received = bytearray()
        self._searched = 0
        self._body = 0
        """Bytes of the body that are still to come, or `CHUNKED`."""
        self._size = 0
        """Bytes of the body that are here."""
        self._head_read = False
        self._waiting: ASGI3Application | None = None
        self._served = False
        self._over = False
        """Nothing more is read: refused, upgraded, or the last request of the connection is here."""
        self._deadline: asyncio.TimerHandle | None = None

    # What the transport says.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        super().connection_made(transport)
        self._expect()
        first, self._first = self._first, b""
        if first:
            self.data_received(first)

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if not self._over:
            self._received += data
            self._advance()

    # The front.

    def _advance(self) -> None:
        """Give the parser what is whole: a head, or a part of a body."""
        while self._received and not self._over:
            if self._body:
                self._give_body()
            elif self.cycle is not None and not self.cycle.response_complete:
                self.flow.pause_reading()
                return
            elif not self._give_head():
                return

    def _give_head(self) -> bool:
        end = self._received.find(END, self._searched)
        if end < 0 or end + len(END) > self._head_limit:
            self._searched = max(0, len(self._received) - len(END) + 1)
            if len(self._received) > self._head_limit:
                self.refuse(HEAD_TOO_LARGE, f"the head is larger than {self._head_limit} bytes")
            return False
        whole = bytes(self._received[: end + len(END)])
        del self._received[: len(whole)]
        self._searched = 0
        try:
            head = read(whole)
        except BadHead as error:
            self.refuse(error.status, error.rule)
            return False
        self._settle()
        self._body, self._size, self._head_read = head.body, 0, False
        self._served = True
        if head.websocket:
            self._hand_over(head)
            return False
        if head.body:
            self._expect()
        return self._feed(plain(head))

    def _give_body(self) -> None:
        part = bytes(self._received if self._body == CHUNKED else self._received[: self._body])
        del self._received[: len(part)]
        if self._body != CHUNKED:
            self._body -= len(part)
        self._feed(part)

    def _feed(self, data: bytes) -> bool:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.refuse(BAD_REQUEST, "the request asks for a tunnel")
        except httptools.HttpParserError:
            self.refuse(BAD_REQUEST, "the request is not HTTP/1.1")
        return not self._over

    def refuse(self, status: int, rule: str, code: str = "request_invalid") -> None:
        """Answer with a problem, end the connection, and give the peer a moment to read why."""
        self._settle()
        self._over = True
        self._received.clear()
        if self.transport.is_closing():
            return
        headers, body = problem(code, status, rule, self.client[0] if self.client else "")
        self.transport.write(response(status, [*self.server_state.default_headers, *headers], body))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)

    # The deadline.

    def _expect(self) -> None:
        self._settle()
        self._deadline = self.loop.call_later(self._timeout, self._expired)

    def _settle(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expired(self) -> None:
        if self._served and not self._body and not self._received:
            self.transport.close()
        else:
            what = "body" if self._body else "head"
            self.refuse(TIMEOUT, f"the request's {what} was not whole within {self._timeout:g} s")

    # What the parser says.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is none (RFC 9110 section 6.5.1)."""
        if not self._head_read:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_read = True
        super().on_headers_complete()
        if self._body == CHUNKED:
            # Where such a body ends only the parser knows, so nothing may come behind it.
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if not self._body:
            super()._start_asgi_task(cycle, app)
            return
        self._waiting = app
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > BODY_LIMIT:
            self.refuse(BODY_TOO_LARGE, f"the body is larger than {BODY_LIMIT} bytes")
        elif not self._over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._over:
            return
        super().on_message_complete()
        self._settle()
        if self._body == CHUNKED:
            self._over = True
        self._body = 0
        if self._waiting is not None:
            app, self._waiting = self._waiting, None
            super()._start_asgi_task(self.cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and not self._over:
            self._expect()
            self._advance()

    # The upgrade.

    def _hand_over(self, head: Request) -> None:
        """Hand the connection over, with what came behind the handshake."""
        if self._upgrade is None:
            self.refuse(NOT_FOUND, "there are no WebSockets here", "not_found")
            return
        self._over = True
        self.connections.discard(self)
        self.flow.resume_reading()
        rest = bytes(self._received)
        self._received.clear()
        self._upgrade(self.transport, head, rest, self.client[0] if self.client else "")
