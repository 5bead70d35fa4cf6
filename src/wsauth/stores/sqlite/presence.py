"""Telling a process that is suspended from one that is gone, though neither beats.

Each process holds a lock on one byte of a file beside the store. The system gives it back when the process ends,
however it ends, and not before.
"""

import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, lockf

__all__ = ["Presence"]

_PLACES: Final = 1 << 30


class Presence:
    """Be present, and tell who is. On Windows, which has no such locks, only beats tell.

    Args:
        path: of the store; the locks are in a file beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + "-nodes")
        self._file: int | None = None
        self._own = ""

    def announce(self, node_id: str) -> None:
        """Hold the lock of this process from now on; again is harmless."""
        if self._own != node_id and self._lock(node_id):
            self._own = node_id

    def holds(self, node_id: str) -> bool:
        """Tell whether another process of this id is there, running or suspended."""
        if node_id == self._own or sys.platform == "win32":
            return False
        taken = self._lock(node_id)
        if taken and self._file is not None:
            lockf(self._file, LOCK_UN, 1, _place(node_id))
        return taken is False

    def close(self) -> None:
        """Be gone."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._own = None, ""

    def _lock(self, node_id: str) -> bool | None:
        """Take a lock, and tell whether it was free; `None` where nobody can say."""
        if sys.platform == "win32":
            return None
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            lockf(self._file, LOCK_EX | LOCK_NB, 1, _place(node_id))
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True


def _place(node_id: str) -> int:
    return int.from_bytes(sha256(node_id.encode()).digest()[:8], "big") % _PLACES
