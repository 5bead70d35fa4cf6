"""Tell the service manager how far we are: systemd's `Type=notify` (sd_notify(3)), over a datagram socket.

Whoever started us set `NOTIFY_SOCKET`; without it nothing is said. What cannot be told is lost: a server that serves is
worth more than one whose state is known.
"""

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

__all__ = ["ServiceManager"]

_log: Final = logging.getLogger("wsauth")
_VARIABLE: Final = "NOTIFY_SOCKET"
_PATIENCE: Final = 0.5
"""Seconds that a full queue of the manager's may hold us up."""
_MICROSECONDS: Final = 1_000_000


class ServiceManager:
    """Speak to the service manager at this address, or to nobody.

    Only the process that the manager started is listened to (`NotifyAccess=main`): with several workers, their parent.

    Args:
        address: as in `NOTIFY_SOCKET`: a path, or `@` and a name without a file (unix(7), abstract); empty for nobody.
    """

    def __init__(self, address: str = "") -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        if address and address[0] not in "/@":
            _log.warning("%s is neither a path nor @NAME: the service manager is not told anything", _VARIABLE)
            self._address = ""

    @classmethod
    def taken(cls, environ: MutableMapping[str, str] = os.environ) -> "ServiceManager":
        """Return the one that the environment names, and take it out there: what we start must not speak for us."""
        return cls(environ.pop(_VARIABLE, ""))

    def ready(self, status: str = "") -> None:
        """Say that connections are accepted; after `reloading` too.

        Args:
            status: one line for people, which `systemctl status` shows.
        """
        self._tell("READY=1", *_status(status))

    def reloading(self) -> None:
        """Say that the configuration is read again; `ready` is next. The time tells it from a reload before."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, within: float, status: str = "") -> None:
        """Say that the server ends, and ask for the time that it needs whatever `TimeoutStopSec=` is.

        Args:
            within: seconds.
            status: as for `ready`.
        """
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(within * _MICROSECONDS)}", *_status(status))

    def status(self, text: str) -> None:
        """Show one line to people."""
        self._tell(*_status(text))

    def _tell(self, *assignments: str) -> None:
        if not self._address or not assignments:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(_PATIENCE)
            out.sendto("\n".join(assignments).encode(errors="replace"), self._address)


def _status(text: str) -> list[str]:
    """Return the assignment; a line's end in it would begin another one."""
    line = " ".join(text.split())
    return [f"STATUS={line}"] if line else []
