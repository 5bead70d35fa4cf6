"""End with the tests whatever they started: a process of its own that outlives them by a moment.

A test run that is killed stops nothing itself. It holds the writing end of a pipe, though, which the kernel closes
whatever happens; then this process kills every group that is still in its book.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from typing import IO

__all__ = ["hold", "release"]


def hold(group: int) -> None:
    """Have a process group killed when this process ends, however it ends."""
    _tell(group)


def release(group: int) -> None:
    """Forget a process group that has ended, since its number may be given to others."""
    _tell(-group)


def _tell(number: int) -> None:
    pipe = _pipe()
    pipe.write(f"{number}\n".encode())
    pipe.flush()


@cache
def _pipe() -> IO[bytes]:
    # A session of its own, since Ctrl-C is for the tests and not for what cleans up after them.
    watching = subprocess.Popen(
        [sys.executable, "-I", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    watching.returncode = 0  # it ends after us; nobody waits for it
    assert watching.stdin is not None
    return watching.stdin


def _watch() -> None:
    held: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        held.discard(-number) if number < 0 else held.add(number)
    for group in held:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    _watch()
