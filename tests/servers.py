"""Real ASGI servers for the tests: each a process of its own, on a free port of 127.0.0.1."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal

from tests.leaks import keep, secret
from tests.lifeline import hold, release

__all__ = ["GATEWAY", "SERVERS", "LogLevel", "Running", "secret", "serve"]

LogLevel = Literal["warning", "info", "debug", "trace"]

SERVERS = ("uvicorn-sansio", "uvicorn-wsproto", "hypercorn", "granian", "daphne")
"""ASGI servers, which run an application behind the middleware."""
GATEWAY = "gateway"
"""`wsauth serve`, which has the application without the middleware as an upstream."""
ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
"""Seconds that a server may take until it accepts connections."""
_STOPPING = 3.0
"""Seconds that a server may take to stop on SIGTERM."""
_ATTEMPTS = 3
"""Starts, since somebody may take the free port before the server does."""
_VERBOSITY = {"warning": "0", "info": "1", "debug": "2", "trace": "3"}


class Running:
    """Be one server that runs.

    Attributes:
        server: its name in `SERVERS`, or `GATEWAY`.
        url: `ws://127.0.0.1:PORT`.
        http: `http://127.0.0.1:PORT`.
        port: where it listens.
        pid: of the process that was started; granian answers from a child of it.
    """

    def __init__(self, server: str, port: int, process: "subprocess.Popen[bytes]", written: IO[bytes]) -> None:
        self.server = server
        self.url = f"ws://127.0.0.1:{port}"
        self.http = f"http://127.0.0.1:{port}"
        self.port = port
        self.pid = process.pid
        self._process = process
        self._written = written

    def output(self) -> str:
        """Return everything that it wrote so far, to standard output and standard error."""
        return os.pread(self._written.fileno(), os.fstat(self._written.fileno()).st_size, 0).decode(errors="replace")

    @property
    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    async def stop(self) -> None:
        """Ask it to stop, and kill it with all its children if it does not."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOPPING):
                    await self._ended()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        release(self.pid)

    async def ready(self) -> bool:
        """Wait until it accepts connections; false when the process ended instead."""
        async with asyncio.timeout(PATIENCE):
            while self.alive:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                return True
        return False

    async def _ended(self) -> None:
        while self.alive:  # noqa: ASYNC110  a process that ends sets no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def serve(
    app: str,
    *,
    server: str = "uvicorn-sansio",
    env: Mapping[str, str] | None = None,
    log_level: LogLevel = "debug",
) -> AsyncGenerator[Running]:
    """Run an application such as `tests.apps.chat:app` until the block ends; what it wrote is searched for secrets.

    Args:
        app: module and attribute, importable from the root of the repository.
        server: one of `SERVERS`, or `GATEWAY` for a module with `guard`, `bare` and `app`.
        env: environment variables beside those of this process.
        log_level: of the server, as far as it knows it.

    Raises:
        RuntimeError: it did not start; with what it wrote.
    """
    with TemporaryFile() as written:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        running = await _started(app, server, {**os.environ, "PYTHONPATH": path, **(env or {})}, log_level, written)
        try:
            yield running
        finally:
            await running.stop()
            keep(f"{server} with {app} at {log_level}", running.output())


async def _started(app: str, server: str, env: dict[str, str], log_level: LogLevel, written: IO[bytes]) -> Running:
    why = ""
    for _ in range(_ATTEMPTS):
        port = _free_port()
        command = [sys.executable, "-W", "ignore", "-m", *_arguments(server, app, port, log_level)]
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True
        )
        hold(process.pid)
        running = Running(server, port, process, written)
        try:
            if await running.ready():
                return running
        except BaseException:
            await running.stop()
            raise
        await running.stop()
        why = running.output()
    raise RuntimeError(f"{server} did not start {app}:\n{why}")


def _arguments(server: str, app: str, port: int, log_level: LogLevel) -> list[str]:
    known = "debug" if log_level == "trace" else log_level
    if server.startswith("uvicorn-"):
        implementation = {"uvicorn-sansio": "websockets-sansio", "uvicorn-wsproto": "wsproto"}[server]
        options = ["--loop", "uvloop", "--http", "httptools", "--ws", implementation, "--log-level", log_level]
        return ["uvicorn", app, "--port", str(port), "--timeout-graceful-shutdown", "1", *options]
    if server == "hypercorn":
        options = ["--bind", f"127.0.0.1:{port}", "--log-level", known, "--graceful-timeout", "1"]
        return ["hypercorn", app, *options]
    if server == "granian":
        options = ["--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--log-level", known]
        return ["granian", *options, app]
    if server == "daphne":
        return ["daphne", "-b", "127.0.0.1", "-p", str(port), "-v", _VERBOSITY[log_level], app]
    if server == GATEWAY:
        return ["tests.apps.gateway", app.partition(":")[0], str(port), known]
    raise ValueError(f"no server is called {server!r}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
