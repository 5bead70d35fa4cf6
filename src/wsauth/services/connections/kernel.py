"""What the kernel knows of a connection, asked without touching what is sent on it."""

import socket
from struct import Struct
from typing import Any, Final

__all__ = ["bytes_received"]

_TCP_INFO: Final = getattr(socket, "TCP_INFO", None)
_BYTES_RECEIVED: Final = Struct("=Q")
_AT: Final = 128
"""Where `tcpi_bytes_received` stands in Linux's `struct tcp_info`, since 4.1."""


def bytes_received(connection: Any) -> int | None:
    """Return how many bytes the peer has sent and TCP has acknowledged; `None` where that cannot be known.

    Args:
        connection: a socket, or a loop's stand-in for one; `None`: it cannot be reached.
    """
    if connection is None or _TCP_INFO is None or connection.family == socket.AF_UNIX:
        return None
    try:
        known = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _AT + _BYTES_RECEIVED.size)
    except OSError:
        return None
    return _BYTES_RECEIVED.unpack_from(known, _AT)[0] if len(known) >= _AT + _BYTES_RECEIVED.size else None
