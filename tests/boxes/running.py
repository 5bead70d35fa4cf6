"""Containers that run, and what is said to the servers in them."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import IO

from tests.attacks.wire import PATIENCE, Wire, request
from tests.boxes.container import ROOT, Container, child_of, command_line, entering
from tests.boxes.network import dialled
from tests.leaks import keep
from tests.lifeline import hold, release
from tests.wsauth_sockets import note_secrets

__all__ = ["Running", "connected", "logged_in", "running"]

_STARTING = 30.0
_NO_UPGRADE = ("Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version")


class Running:
    """Be a container that runs.

    Attributes:
        container: what was started.
        process: what started it.
    """

    def __init__(self, container: Container, process: "subprocess.Popen[bytes]", written: IO[bytes]) -> None:
        self.container = container
        self.process = process
        self._written = written

    @property
    def pid(self) -> int:
        """Return the container's first process, as this machine counts."""
        return child_of(self.process.pid)

    @property
    def output(self) -> str:
        """Return what it wrote so far."""
        return os.pread(self._written.fileno(), 1_000_000, 0).decode()

    async def says(self, pattern: str) -> None:
        """Wait until it wrote this."""
        async with asyncio.timeout(_STARTING):
            while not re.search(pattern, self.output, re.MULTILINE):
                assert self.process.poll() is None, self.output
                await asyncio.sleep(0.05)

    async def ended(self) -> int:
        """Wait until it ended, and return its exit status."""
        async with asyncio.timeout(PATIENCE):
            while (status := self.process.poll()) is None:  # noqa: ASYNC110  a process that ends sets no event
                await asyncio.sleep(0.05)
        return status

    def run(self, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command beside it, as `docker exec` does."""
        line = entering(self.pid, self.container, *command)
        return subprocess.run(
            line, cwd="/", input=stdin, capture_output=True, text=True, check=False, timeout=_STARTING
        )


@asynccontextmanager
async def running(container: Container) -> AsyncGenerator[Running]:
    """Run a container until the block ends; what it wrote is searched for secrets."""
    with TemporaryFile() as written:
        line = command_line(container)
        process = subprocess.Popen(
            line, cwd=ROOT, env={}, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True
        )
        hold(process.pid)
        found = Running(container, process, written)
        try:
            yield found
        finally:
            process.kill()
            process.wait()
            release(process.pid)
            keep(" ".join(container.command), found.output)


@asynccontextmanager
async def connected(pid: int, *parts: bytes, port: int = 8080) -> AsyncGenerator[Wire]:
    """Connect to a port in the box of this process, and send these bytes."""
    reader, writer = await asyncio.open_connection(sock=dialled(pid, port))
    client = Wire(reader, writer)
    try:
        client.send(*parts)
        yield client
    finally:
        writer.transport.abort()


async def logged_in(pid: int, name: str, password: str) -> str:
    """Return an access token, from the server in a box."""
    body = json.dumps({"username": name, "password": password}).encode()
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close")
    head = request("/auth/login", *lines, without=_NO_UPGRADE, start="POST /auth/login HTTP/1.1")
    async with connected(pid, head, body) as client:
        answer = await client.answer()
    assert answer.status == 200, answer
    note_secrets(answer.body.decode())
    token: str = json.loads(answer.body)["access_token"]
    return token
