"""Sockets towards an upstream, and how a peer that is cut off is noticed."""

import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

__all__ = ["Place", "connecting", "keepalive", "watch_for_silence"]

Place = tuple[int, Any]
"""Address family and socket address."""

_NONBLOCKING: Final = getattr(socket, "SOCK_NONBLOCK", 0) | getattr(socket, "SOCK_CLOEXEC", 0)


def connecting(place: Place) -> socket.SocketType:
    """Return a socket that has begun to connect.

    Raises:
        OSError: that failed at once.
    """
    family, where = place
    made = socket.SocketType(family, socket.SOCK_STREAM | _NONBLOCKING)
    try:
        if not _NONBLOCKING:
            made.setblocking(False)
        if family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not _is_here(where[0]):
                watch_for_silence(made)
        made.connect(where)
    except BlockingIOError as error:
        if family == socket.AF_UNIX:
            made.close()
            raise OSError(error.errno, "its backlog is full") from None
    except BaseException:
        made.close()
        raise
    return made


def keepalive() -> Iterable[tuple[int, int, int]]:
    """Return the options by which a peer that is cut off is noticed within 40 seconds (ATTACKS RX-17)."""
    wanted = (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4))
    for name, value in (*wanted, ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, name):
            level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
            yield level, getattr(socket, name), value


def watch_for_silence(connection: Any) -> None:
    """Have the kernel notice a peer that is cut off; what a listener is told, those that it accepts are told too."""
    for level, option, value in keepalive():
        connection.setsockopt(level, option, value)


@lru_cache(maxsize=256)
def _is_here(host: str) -> bool:
    """Tell whether an address is this machine, to which no wire can be cut."""
    return ip_address(host.partition("%")[0]).is_loopback
