"""A WebSocket client with a browser's rights and a browser's view: an Origin always, headers never, 1006 for a no."""

import json
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from wsauth.errors import ConnectionClosed
from wsauth.testing.server import LiveServer, live_server

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

__all__ = ["Browser", "BrowserSocket", "Close", "browser"]

_PATIENCE = 5.0
"""Seconds that something awaited may take."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 section 5.6.2


class Close(NamedTuple):
    """Be what a page's `close` event says."""

    code: int
    reason: str


_UNSEEN = Close(1006, "")
"""What a page sees of a handshake that failed, whatever the server answered."""


class BrowserSocket:
    """Be a page's `WebSocket`.

    Attributes:
        protocol: the subprotocol that the server chose, or empty.
    """

    def __init__(self, connection: "ClientConnection | None") -> None:
        self._connection = connection
        self.protocol = "" if connection is None else connection.subprotocol or ""

    def send(self, data: str | bytes) -> None:
        """Send a message; like a page's, it goes nowhere once the socket is closed."""
        from websockets.exceptions import ConnectionClosed as Gone

        if self._connection is not None:
            with suppress(Gone):
                self._connection.send(data)

    def send_json(self, value: object) -> None:
        """Send a value as JSON text."""
        self.send(json.dumps(value))

    def receive(self, timeout: float = _PATIENCE) -> str | bytes:
        """Return the next message.

        Raises:
            ConnectionClosed: the socket is closed; the text says with which code and reason.
            TimeoutError: nothing came within `timeout` seconds.
        """
        from websockets.exceptions import ConnectionClosed as Gone

        if self._connection is not None:
            with suppress(Gone):
                return self._connection.recv(timeout)
        code, reason = self.closed(timeout)
        raise ConnectionClosed(f"{code} {reason}".rstrip())

    def receive_json(self, timeout: float = _PATIENCE) -> Any:
        """Return the next message, which is JSON text; raises as `receive` does."""
        return json.loads(self.receive(timeout))

    def closed(self, timeout: float = _PATIENCE) -> Close:
        """Wait for the end and return what the page is told; messages on the way are dropped.

        Raises:
            TimeoutError: the socket was still open after `timeout` seconds.
        """
        from websockets.exceptions import ConnectionClosed as Gone

        if self._connection is None:
            return _UNSEEN
        with suppress(Gone):
            while True:
                self._connection.recv(timeout)
        code = self._connection.close_code
        return Close(1006 if code is None else code, self._connection.close_reason or "")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, as a page may: with 1000, or 3000 to 4999.

        Raises:
            ValueError: another code.
        """
        if code != 1000 and not 3000 <= code <= 4999:
            raise ValueError(f"a page may close with 1000 or 3000 to 4999, not {code}")
        if self._connection is not None:
            self._connection.close(code, reason)


class Browser:
    """Be pages of one origin in one browser.

    Args:
        server: where relative paths lead.
        origin: sent with every handshake; a page cannot change it.
        cookies: sent with every handshake; add to them what a login set.
    """

    def __init__(self, server: LiveServer, origin: str, cookies: Mapping[str, str]) -> None:
        self.server = server
        self.origin = origin
        self.cookies = dict(cookies)
        self._opened = ExitStack()

    def connect(self, path: str, protocols: Sequence[str] = ()) -> BrowserSocket:
        """Do what `new WebSocket(url, protocols)` does; a refused handshake is a socket closed with 1006.

        Args:
            path: with the query, or a whole `ws://` URL.
            protocols: the subprotocols to offer.

        Raises:
            ValueError: what a page gets a SyntaxError for: a subprotocol that is none, or is there twice.
        """
        offered = [protocols] if isinstance(protocols, str) else list(protocols)
        if len(set(offered)) < len(offered) or not all(_TOKEN.fullmatch(offer) for offer in offered):
            raise ValueError("a page may offer each subprotocol once, and each is a token (RFC 6455 section 4.1)")
        url = path if urlsplit(path).scheme else self.server.ws_url + path
        return BrowserSocket(self._handshake(url, offered))

    def close(self) -> None:
        """Close every socket, as leaving the page does."""
        self._opened.close()

    def _handshake(self, url: str, offered: list[str]) -> "ClientConnection | None":
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect
        from websockets.typing import Origin, Subprotocol

        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            handshake = connect(
                url,
                origin=Origin(self.origin),
                subprotocols=[Subprotocol(offer) for offer in offered] or None,
                additional_headers={"Cookie": cookie} if cookie else None,
                user_agent_header="Mozilla/5.0 (wsauth.testing)",
                open_timeout=_PATIENCE,
                close_timeout=1,
                proxy=None,
            )
            connection = self._opened.enter_context(handshake)
        except (OSError, WebSocketException):
            return None
        if offered and connection.subprotocol is None:
            connection.close()  # Chromium fails a connection for which none of its offers was chosen
            return None
        return connection


@contextmanager
def browser(app: Any, *, origin: str, cookies: Mapping[str, str] | None = None) -> Generator[Browser]:
    """Open a browser on an application; its sockets are closed at the end.

    Args:
        app: an ASGI application, which then runs in `live_server`, or a `LiveServer` that runs already.
        origin: of its pages, such as `https://app.example.com`.
        cookies: that it has for the application.
    """
    if isinstance(app, LiveServer):
        opened = Browser(app, origin, cookies or {})
        try:
            yield opened
        finally:
            opened.close()
    else:
        with live_server(app) as server, browser(server, origin=origin, cookies=cookies) as opened:
            yield opened
