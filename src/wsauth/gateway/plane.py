"""The plane: an epoll of its own inside the event loop; the handler of a descriptor is a connection's place."""

import asyncio
import logging
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLERR, EPOLLHUP
from time import monotonic
from typing import Any, Final, Protocol

__all__ = ["Handler", "Plane", "Timeouts"]

_log: Final = logging.getLogger("wsauth")

_EVENTS: Final = 256
"""Descriptors of one look at the epoll."""
_LOOKS: Final = 4
"""Looks before everybody else on the loop has their turn."""
_TICK: Final = 0.25
"""Seconds between two looks at the timeouts."""
_RESET: Final = struct.pack("ii", 1, 0)


class Handler(Protocol):
    """Be told of a descriptor. An object, not a function: a bound method for each connection would take memory."""

    def ready(self, events: int) -> None:
        """Do what epoll says can be done."""

    def failed(self) -> None:
        """Close, since `ready` has raised what nobody foresaw."""


class Timeouts:
    """Call back about whatever was not taken out in time; all of one kind wait equally long.

    Args:
        seconds: that each may take, to a quarter of a second more.
        late: called with what did.
    """

    __slots__ = ("_late", "_seconds", "_waiting")

    def __init__(self, seconds: float, late: Callable[[Any], None]) -> None:
        self._seconds = seconds
        self._late = late
        self._waiting: dict[Any, float] = {}

    def add(self, what: Any) -> None:
        """Begin to wait; the time of what waits already is not moved."""
        self._waiting.setdefault(what, monotonic() + self._seconds)

    def discard(self, what: Any) -> None:
        """Wait no more."""
        self._waiting.pop(what, None)

    def sweep(self, now: float) -> None:
        """Call back about all whose time is over."""
        while self._waiting:
            what = next(iter(self._waiting))
            if self._waiting[what] > now:
                return
            del self._waiting[what]
            try:
                self._late(what)
            except Exception:  # noqa: BLE001  one connection's fault must not keep the others open
                _log.exception("a timeout failed")

    def __len__(self) -> int:
        return len(self._waiting)


class Plane:
    """Hold the descriptors of a process, and call their handlers."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timeouts: list[Timeouts] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Be called by the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._run)
        self._tick()

    def stop(self) -> None:
        """Be called no more, and have cut what is left."""
        if self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
        if self._ticking is not None:
            self._ticking.cancel()
        for handler in list(self._handlers.values()):
            _fail(handler)
        self._epoll.close()

    def timeouts(self, seconds: float, late: Callable[[Any], None]) -> Timeouts:
        """Return new timeouts that are swept here."""
        made = Timeouts(seconds, late)
        self._timeouts.append(made)
        return made

    # Descriptors.

    def add(self, fd: int, handler: Handler, events: int) -> None:
        """Watch a descriptor."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def replace(self, fd: int, handler: Handler, events: int | None = None) -> None:
        """Give a descriptor that is watched another handler, and perhaps other events."""
        self._handlers[fd] = handler
        if events is not None:
            self._epoll.modify(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Watch for other events; with none, only for the end."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Watch a descriptor no more, which stays open."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self, connection: Any) -> None:
        """Close a socket, watched or not; what was written is still sent."""
        self._handlers.pop(connection.fileno(), None)
        connection.close()

    def reset(self, connection: Any) -> None:
        """Cut a socket: what waits in the kernel is dropped, and the peer gets RST."""
        with suppress(OSError):  # it may be gone already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close(connection)

    def shut_down(self, connection: Any) -> None:
        """Say that nothing more is written."""
        with suppress(OSError):  # it may be gone already
            connection.shutdown(socket.SHUT_WR)

    def is_gone(self, fd: int) -> bool:
        """Tell whether TCP has ended; an event may be one of an earlier socket with the same number."""
        poll = select.poll()
        poll.register(fd, 0)
        return any(events & (EPOLLHUP | EPOLLERR | select.POLLNVAL) for _, events in poll.poll(0))

    # The loop.

    def _run(self) -> None:
        poll, handlers = self._epoll.poll, self._handlers
        for _ in range(_LOOKS):
            ready = poll(0, _EVENTS)
            for fd, events in ready:
                handler = handlers.get(fd)
                if handler is not None:
                    try:
                        handler.ready(events)
                    except Exception:  # noqa: BLE001  one connection's fault must not end the others
                        _log.exception("a connection failed")
                        self._drop(fd, handler)
            if len(ready) < _EVENTS // 8:
                return

    def _drop(self, fd: int, handler: Handler) -> None:
        """Let a connection whose handler fails be cut by whom it belongs to, and by whom it was just given."""
        present = self._handlers.get(fd, handler)
        for owner in (handler,) if present is handler else (handler, present):
            _fail(owner)

    def _tick(self) -> None:
        now = monotonic()
        for each in self._timeouts:
            each.sweep(now)
        if self._loop is not None:
            self._ticking = self._loop.call_later(_TICK, self._tick)


def _fail(handler: Handler) -> None:
    try:
        handler.failed()
    except Exception:  # noqa: BLE001  one connection's fault must not keep the others open
        _log.exception("a connection could not be cut")
