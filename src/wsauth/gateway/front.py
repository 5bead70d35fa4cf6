"""The front: it accepts on plain TCP and reads the first head of a connection, strictly and under a deadline.

A WebSocket handshake goes to a link, everything else to whoever speaks HTTP here, with the bytes that were read.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from select import EPOLLEXCLUSIVE, EPOLLIN
from socket import MSG_DONTWAIT
from typing import TYPE_CHECKING, Any, Final

from wsauth.core.request import END, BadHead, read
from wsauth.gateway.responses import problem, response

if TYPE_CHECKING:
    from wsauth.gateway.gateway import Gateway

__all__ = ["Front", "Listener"]

_log: Final = logging.getLogger("wsauth")
_READ: Final = 65_536
_AT_ONCE: Final = 4
"""Connections that are accepted before others have their turn."""
_NO_MORE_FILES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BREATH: Final = 0.1
"""Seconds without accepting, after there was no room for another descriptor."""
_TIMEOUT, _TOO_LARGE = 408, 431


class Listener:
    """Accept on one listening socket.

    Args:
        gateway: takes the handshakes.
        listening: the socket, shared with other processes.
        http: takes a socket that speaks HTTP, and what was read from it.
    """

    def __init__(
        self, gateway: "Gateway", listening: socket.socket, http: Callable[[socket.socket, bytes], None]
    ) -> None:
        self.gateway = gateway
        self.http = http
        self._listening = listening
        self._accept = listening._accept  # type: ignore[attr-defined]  # a descriptor without the object around it
        self._family = listening.family
        self._open = False
        self._paused: asyncio.TimerHandle | None = None
        self._complained = False
        listening.setblocking(False)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_QUICKACK"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)

    def start(self) -> None:
        """Accept."""
        self._open = True
        self.gateway.plane.add(self._listening.fileno(), self, EPOLLIN | EPOLLEXCLUSIVE)

    def stop(self) -> None:
        """Accept no more."""
        if self._paused is not None:
            self._paused.cancel()
        if self._open:
            self._open = False
            self.gateway.plane.forget(self._listening.fileno())

    def ready(self, _: int) -> None:
        """Accept who waits."""
        for _ in range(_AT_ONCE):
            try:
                fd, address = self._accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_MORE_FILES:
                    self._pause(error)
                    return
                continue  # the peer is gone again
            made = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fd)
            front = Front(self, made, str(address[0]))
            try:
                front.begin()
            except Exception:  # noqa: BLE001  one connection's fault must not end the accepting of others
                _log.exception("a connection failed")
                front.failed()

    def failed(self) -> None:
        """Go on: it was not the listener's own fault."""

    def _pause(self, error: OSError) -> None:
        """Leave the others in the backlog for a moment, instead of asking over and over."""
        if not self._complained:
            self._complained = True
            _log.error("no more connections can be accepted: %s; raise the limit of open files", error.strerror)
        self.stop()
        self._paused = asyncio.get_running_loop().call_later(_BREATH, self.start)


class Front:
    """Read the first head of one connection.

    Args:
        listener: where it came from.
        connection: the socket.
        peer: its address.
    """

    __slots__ = ("_connection", "_data", "_listener", "_peer", "_searched", "_watched")

    def __init__(self, listener: Listener, connection: socket.SocketType, peer: str) -> None:
        self._listener = listener
        self._connection = connection
        self._peer = peer.removeprefix("::ffff:")
        self._data = b""
        self._searched = 0
        self._watched = False

    def begin(self) -> None:
        """Look whether the head is here already, and wait for it if not."""
        self.ready(0)

    def ready(self, _: int) -> None:
        """Read, and see whether the head is whole."""
        try:
            data = self._connection.recv(_READ, MSG_DONTWAIT)
        except BlockingIOError:
            self._wait()
            return
        except OSError:
            self.failed()
            return
        if not data:
            self.failed()
            return
        self._data = data if not self._data else self._data + data
        end = self._data.find(END, self._searched)
        limit = self._listener.gateway.head_limit
        if end < 0 and len(self._data) <= limit:
            self._searched = max(0, len(self._data) - len(END) + 1)
            self._wait()
        elif end < 0 or end + len(END) > limit:
            self._refuse(_TOO_LARGE, f"the head is larger than {limit} bytes")
        else:
            self._read(end + len(END))

    def _wait(self) -> None:
        if not self._watched:
            self._watched = True
            gateway = self._listener.gateway
            gateway.plane.add(self._connection.fileno(), self, EPOLLIN)
            gateway.fronts.add(self)
            gateway.wait(self, self._peer)

    def _read(self, size: int) -> None:
        try:
            request = read(self._data[:size])
        except BadHead as error:
            self._refuse(error.status, error.rule)
            return
        gateway, connection, data = self._listener.gateway, self._connection, self._data
        self._leave()
        if request.websocket:
            gateway.take(connection, request, data[size:], self._peer)
        else:
            self._listener.http(socket.socket(fileno=connection.detach()), data)

    def _leave(self) -> None:
        """Hand the socket over to somebody else."""
        if self._watched:
            self._watched = False
            self._listener.gateway.plane.forget(self._connection.fileno())
            self._listener.gateway.fronts.discard(self)
            self._listener.gateway.waiting.discard(self)

    def late(self) -> None:
        """Answer a head that has not come in time; a connection on which nothing came is just closed."""
        if self._data:
            seconds = self._listener.gateway.request_timeout
            self._refuse(_TIMEOUT, f"the request's head was not whole within {seconds:g} s")
        else:
            self.failed()

    def _refuse(self, status: int, rule: str) -> None:
        self._leave()
        gateway = self._listener.gateway
        headers, body = problem("request_invalid", status, rule, self._peer)
        gateway.answer(self._connection, response(status, [*gateway.headers, *headers], body), unread=True)

    def failed(self) -> None:
        """Close."""
        self._listener.gateway.fronts.discard(self)
        self._listener.gateway.waiting.discard(self)
        self._listener.gateway.plane.close(self._connection)

    def shed(self) -> None:
        """Close, to make room for others."""
        self.failed()


class Lingering:
    """Read what a refused peer still sends, so that a reset does not take the answer from it (RFC 9112 section 9.6).

    Args:
        plane: watches the socket.
        connection: the socket, on which nothing more is written.
    """

    __slots__ = ("_connection", "_plane")

    def __init__(self, plane: Any, connection: socket.SocketType) -> None:
        self._plane = plane
        self._connection = connection
        plane.shut_down(connection)
        plane.add(connection.fileno(), self, EPOLLIN)

    def ready(self, _: int) -> None:
        """Read, and close when nothing more can come."""
        try:
            if self._connection.recv(_READ, MSG_DONTWAIT):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # it is gone
        self.end()

    def failed(self) -> None:
        """Close."""
        self.end()

    def end(self) -> None:
        """Close."""
        self._plane.close(self._connection)
