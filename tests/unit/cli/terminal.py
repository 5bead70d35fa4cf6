"""A terminal for the command: a process whose standard input, output and error are one, as a person has it."""

import asyncio
import fcntl
import os
import pty
import signal
import subprocess
import termios
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.lifeline import hold, release
from tests.wsauth_server import PATIENCE, WSAUTH, environment

__all__ = ["Terminal", "terminal"]


class Terminal:
    """Be a terminal in which a command runs.

    Attributes:
        shown: everything that was on the screen, echo included.
        pid: of the command.
    """

    def __init__(self, screen: int, process: "subprocess.Popen[bytes]") -> None:
        self.shown = ""
        self.pid = process.pid
        self._screen = screen
        self._process = process

    async def expect(self, text: str) -> str:
        """Wait until a text is shown that was not there before, and return what is shown behind it."""
        begin = len(self.shown)
        async with asyncio.timeout(PATIENCE):
            while text not in self.shown[begin:]:
                alive = self._process.poll() is None
                if not self._read() and not alive:
                    raise AssertionError(f"{text!r} was not shown: {self.shown!r}")
                await asyncio.sleep(0.02)
        return self.shown[begin:].partition(text)[2]

    def type(self, text: str) -> None:
        """Type a text; Ctrl-C is `\\x03`, Ctrl-D `\\x04`."""
        os.write(self._screen, text.encode())

    async def status(self) -> int:
        """Wait until the command has ended, and return its exit status."""
        async with asyncio.timeout(PATIENCE):
            while self._process.poll() is None:
                self._read()
                await asyncio.sleep(0.02)
        while self._read():
            pass
        return self._process.wait()

    def _read(self) -> bool:
        try:
            read = os.read(self._screen, 65_536)
        except (BlockingIOError, OSError):  # nothing is new; or the command has closed its side
            return False
        self.shown += read.decode(errors="replace").replace("\r\n", "\n")
        return bool(read)


@asynccontextmanager
async def terminal(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> AsyncGenerator[Terminal]:
    """Run `wsauth …` on a terminal in a folder, until the block ends."""
    screen, theirs = pty.openpty()
    os.set_blocking(screen, False)
    process = subprocess.Popen(
        [str(WSAUTH), *arguments],
        cwd=folder,
        env={**environment(), "TERM": "dumb", "COLUMNS": "200", **(environ or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=_control,  # noqa: PLW1509  no thread of ours runs here
    )
    os.close(theirs)
    hold(process.pid)
    try:
        yield Terminal(screen, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        release(process.pid)
        os.close(screen)


def _control() -> None:
    """Make standard input the terminal that the process belongs to, so that Ctrl-C reaches it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
