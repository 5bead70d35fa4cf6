"""Faces for what legs know: a plane that turns when the test says, a link that notes what it is told, a transport."""

import select
import socket
import struct
from contextlib import suppress
from typing import Any

from wsauth.gateway.plane import Handler

__all__ = ["FakeTransport", "HandPlane", "Notes", "pair"]


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a TCP connection over loopback, which hold little in the kernel."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        one.connect(listening.getsockname())
        other, _ = listening.accept()
    for each in (one, other):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    other.setblocking(False)
    return one, other


class HandPlane:
    """Be a plane that calls handlers when the test says `turn`.

    Attributes:
        watched: the events that each descriptor waits for.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self.watched: dict[int, int] = {}

    def turn(self, at_most: int = 1) -> int:
        """Look so often at the descriptors, and return how many events there were."""
        found = 0
        for _ in range(at_most):
            ready = self._epoll.poll(0)
            for fd, events in ready:
                if fd in self._handlers:
                    self._handlers[fd].ready(events)
            found += len(ready)
            if not ready:
                break
        return found

    def add(self, fd: int, handler: Handler, events: int) -> None:
        """Watch."""
        self._epoll.register(fd, events)
        self._handlers[fd], self.watched[fd] = handler, events

    def replace(self, fd: int, handler: Handler, events: int) -> None:
        """Give to another handler."""
        self._epoll.modify(fd, events)
        self._handlers[fd], self.watched[fd] = handler, events

    def modify(self, fd: int, events: int) -> None:
        """Watch for other events."""
        self._epoll.modify(fd, events)
        self.watched[fd] = events

    def forget(self, fd: int) -> None:
        """Watch no more."""
        if self._handlers.pop(fd, None) is not None:
            del self.watched[fd]
            self._epoll.unregister(fd)

    def close(self, connection: socket.socket) -> None:
        """Close."""
        self._handlers.pop(connection.fileno(), None)
        self.watched.pop(connection.fileno(), None)
        connection.close()

    def reset(self, connection: socket.socket) -> None:
        """Send RST."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close(connection)

    def shut_down(self, connection: socket.socket) -> None:
        """Send FIN."""
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)

    def is_gone(self, fd: int) -> bool:
        """Tell whether both directions have ended."""
        poll = select.poll()
        poll.register(fd, 0)
        return bool(poll.poll(0))

    def end(self) -> None:
        """Let go of the epoll."""
        self._epoll.close()


class Notes:
    """Be a link that notes what its legs say.

    Attributes:
        told: name of what was told, the leg, and what came with it.
    """

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    @property
    def names(self) -> list[str]:
        """Return what was told, without the rest."""
        return [str(name) for name, *_ in self.told]

    def taken(self, leg: Any, data: bytes) -> None:
        """Note bytes that do not flow by themselves."""
        self.told.append(("taken", leg, data))

    def halted(self, leg: Any, data: bytes) -> None:
        """Note a broken rule or a close frame, as a link does: nothing flows any more."""
        leg.direct = False
        self.told.append(("halted", leg, data))

    def stirred(self) -> None:
        """Note a message."""
        self.told.append(("stirred",))

    def ended(self, leg: Any) -> None:
        """Note the end of what a peer writes, as a link does: it is not read any more."""
        self.told.append(("ended", leg))
        leg.hold(True)

    def lost(self, leg: Any) -> None:
        """Note that a peer is gone, as a link does: the leg is cut."""
        self.told.append(("lost", leg))
        leg.abort()

    def flushed(self, leg: Any) -> None:
        """Note that nothing waits any more."""
        self.told.append(("flushed", leg))

    def failed(self) -> None:
        """Note that a handler failed."""
        self.told.append(("failed",))


class FakeTransport:
    """Be a transport of an event loop, without a loop.

    Attributes:
        written: what was written.
        waiting: bytes that it says wait.
        orders: what it was told to do.
    """

    def __init__(self) -> None:
        self.written = b""
        self.waiting = 0
        self.orders: list[str] = []

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.written += data

    def get_write_buffer_size(self) -> int:
        """Tell how many bytes wait."""
        return self.waiting

    def set_write_buffer_limits(self, high: int) -> None:
        """Take the mark."""
        self.orders.append(f"limit {high}")

    def pause_reading(self) -> None:
        """Note it."""
        self.orders.append("pause")

    def resume_reading(self) -> None:
        """Note it."""
        self.orders.append("resume")

    def close(self) -> None:
        """Note it."""
        self.orders.append("close")

    def abort(self) -> None:
        """Note it."""
        self.orders.append("abort")
