"""Lines of standard input for a program that waits for other things too."""

import os
import sys
from asyncio import AbstractEventLoop, Queue
from threading import Thread

__all__ = ["Lines"]

_STDIN = 0


class Lines:
    """Read lines: the first as a secret if wanted, the rest as they come.

    What is read is not buffered by `sys.stdin`: the thread that waits for it would hold that buffer's lock when the
    process ends.
    """

    def __init__(self) -> None:
        self._rest = b""

    def first(self) -> str | None:
        """Return the next line without its end; `None` when there is none."""
        while b"\n" not in self._rest:
            read = os.read(_STDIN, 65_536)
            if not read:
                line, self._rest = self._rest, b""
                return _text(line) if line else None
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\n")
        return _text(line)

    def follow(self, loop: AbstractEventLoop) -> "Queue[str | None]":
        """Return the queue of the lines to come, which ends with `None`."""
        queue: Queue[str | None] = Queue()

        def run() -> None:
            line: str | None = ""
            while line is not None and not loop.is_closed():
                try:
                    line = self.first()
                except OSError:
                    line = None
                if not loop.is_closed():
                    loop.call_soon_threadsafe(queue.put_nowait, line)

        Thread(target=run, name="wsauth-stdin", daemon=True).start()
        return queue


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(sys.stdin.encoding or "utf-8", "replace")
