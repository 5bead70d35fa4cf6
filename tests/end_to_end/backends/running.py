"""Run a backend that knows nothing of wsauth: a process of its own, which says where it listens."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from tests.leaks import keep
from tests.lifeline import hold, release

__all__ = ["NODE_FOLDER", "ROOT", "daphne", "free_port", "node_program", "process", "python_program", "uvicorn"]

ROOT = Path(__file__).parents[3]
NODE_FOLDER = ROOT / "tests" / "node"
PATIENCE = 30.0
"""Seconds that a backend may take until it listens."""
_STOPPING = 3.0
"""Seconds that it may take to stop on SIGTERM."""
_LISTENING = re.compile(r"(?:listening on|Listening on TCP address|Uvicorn running on http://)\s*(\S+)")


@asynccontextmanager
async def process(
    *command: str, folder: Path = ROOT, script: str = "", env: dict[str, str] | None = None
) -> AsyncGenerator[str]:
    """Run a backend until the block ends, and give what it says it listens on; what it wrote is searched for secrets.

    Args:
        command: program and arguments.
        folder: where it runs.
        script: its standard input.
        env: environment variables beside those of this process.

    Raises:
        RuntimeError: it did not start; with what it wrote.
    """
    with TemporaryFile() as written, TemporaryFile() as given:
        given.write(script.encode())
        given.seek(0)
        running = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=given,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
        hold(running.pid)

        def output() -> str:
            return os.pread(written.fileno(), os.fstat(written.fileno()).st_size, 0).decode(errors="replace")

        try:
            async with asyncio.timeout(PATIENCE):
                while (found := _LISTENING.search(output())) is None:
                    if running.poll() is not None:
                        raise RuntimeError(f"{' '.join(command)} did not start:\n{output()}")
                    await asyncio.sleep(0.02)
            yield found[1]
        finally:
            await _stop(running)
            keep(" ".join(command), output())


async def _stop(running: "subprocess.Popen[bytes]") -> None:
    running.send_signal(signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(_STOPPING):
            while running.poll() is None:  # noqa: ASYNC110  a process that ends sets no event
                await asyncio.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    release(running.pid)


def python_program(module: str) -> tuple[str, ...]:
    """Return the command that runs a module."""
    return sys.executable, "-m", module


def daphne(app: str) -> tuple[str, ...]:
    """Return the command that serves an application with daphne."""
    return sys.executable, "-W", "ignore", "-m", "daphne", "-b", "127.0.0.1", "-p", "0", app


def uvicorn(app: str, port: int = 0) -> tuple[str, ...]:
    """Return the command that serves an application with uvicorn."""
    options = ("--port", str(port), "--timeout-graceful-shutdown", "1", "--ws", "websockets-sansio")
    return sys.executable, "-W", "ignore", "-m", "uvicorn", app, *options


def node_program(node: Path, name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a program of `tests/node`."""
    return str(node), str(NODE_FOLDER / name), *arguments


def free_port() -> int:
    """Return a port that is free now, for a backend that must know its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
