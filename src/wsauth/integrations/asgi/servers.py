"""What ASGI servers do differently, found by running them.

uvicorn wakes a pending `receive()` when the socket is closed from another task, and shows its transport. Of every
other server nothing is assumed: there a task of ours reads, so that the application can be woken whatever the server
does (granian blocks a close until the pending receive has returned), and TCP ends when the application returns.
daphne's own close knows no reason, and of the codes below 3000 only 1000.
"""

from functools import lru_cache, partial
from typing import Any, Protocol

from wsauth.integrations.asgi.types import AsgiMessage, Scope, Send
from wsauth.services.connections.kernel import bytes_received

__all__ = ["Server", "sender_of", "server_of"]


class _Transport(Protocol):
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def get_extra_info(self, name: str) -> Any: ...


class Server:
    """Be the server of one connection, as far as it can be reached from ASGI.

    Attributes:
        wakes: a pending `receive()` returns when the socket is closed from another task.
        denies: it can answer a handshake with any HTTP response (`websocket.http.response`).
    """

    __slots__ = ("_owner", "_transport", "denies", "wakes")

    def __init__(self, *, wakes: bool, denies: bool, owner: Any = None) -> None:
        self.wakes = wakes
        self.denies = denies
        self._owner = owner
        self._transport: _Transport | None = owner and owner.transport

    @property
    def flushed(self) -> bool:
        """Tell whether everything written so far is with the kernel, as far as that can be known."""
        return self._transport is None or self._transport.get_write_buffer_size() == 0

    @property
    def ended(self) -> bool:
        """Tell whether TCP is known to be gone or going."""
        return self._transport is not None and self._transport.is_closing()

    def bytes_received(self) -> int | None:
        """Return how many bytes the client has sent, where the server shows its socket."""
        return None if self._transport is None else bytes_received(self._transport.get_extra_info("socket"))

    def denied(self) -> None:
        """Spare uvicorn its error about an application that did not accept, after a denial that it sent itself."""
        if self._owner is not None:
            self._owner.handshake_complete = True

    def abort(self) -> bool:
        """Cut TCP, where the server lets us; tell whether it did."""
        if self._transport is None:
            return False
        self._transport.abort()
        return True


def server_of(scope: Scope, send: Send) -> Server:
    """Return the server that called the application."""
    denies = "websocket.http.response" in (scope.get("extensions") or ())
    owner = getattr(send, "__self__", None)
    if owner is not None and _is_uvicorn(type(owner).__mro__):
        return Server(wakes=True, denies=denies, owner=owner)
    return Server(wakes=False, denies=denies)


def sender_of(send: Send) -> Send:
    """Return `send`, on daphne one that closes with every code and reason that RFC 6455 section 7.4 allows."""
    protocol: Any = send.args[0] if isinstance(send, partial) and send.args else None
    if not type(protocol).__module__.startswith("daphne."):
        return send

    async def send_or_close(message: AsgiMessage) -> None:
        if message["type"] == "websocket.close" and protocol.state == protocol.STATE_OPEN:
            protocol.sendCloseFrame(code=message["code"], reasonUtf8=(message.get("reason") or "").encode())
        else:
            await send(message)

    return send_or_close


@lru_cache
def _is_uvicorn(classes: tuple[type, ...]) -> bool:
    """Tell whether it is uvicorn's WebSocket protocol, or a subclass such as that of `wsauth.serve`."""
    return any(base.__module__.startswith("uvicorn.protocols.websockets.") for base in classes)
