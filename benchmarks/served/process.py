"""Run the real `wsauth serve`, one process or several on one store, and the commands beside it."""

import asyncio
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.served.http import Client
from benchmarks.subject import CORE, NotStarted, Subject

WSAUTH = Path(sys.executable).with_name("wsauth")
LAUNCH = Path(__file__).with_name("launch.py")
ISSUER = "http://wsauth.bench"
"""The issuer of every server here, since ports differ."""

PATIENCE = 60.0
"""Seconds that a server may take until it accepts connections, with a store that is full."""

RAISED = {
    "WSAUTH__LIMITS__UNAUTHENTICATED_PER_ADDRESS": "1000000",
    "WSAUTH__LIMITS__UNAUTHENTICATED_CONNECTIONS": "1000000",
    "WSAUTH__LIMITS__CONNECTIONS_PER_IDENTITY": "1000000",
    "WSAUTH__LIMITS__CONNECT_PER_ADDRESS": "999999999/s",
    "WSAUTH__LIMITS__LOGIN_FAILURES_PER_ADDRESS": "999999999/s",
}
"""All load comes from one address, and much of it is one identity's."""

READY = re.compile(r"listening on http://127\.0\.0\.1:(\d+)$.*?^  admin: http://127\.0\.0\.1:(\d+)$", re.M | re.S)


@dataclass(frozen=True, slots=True)
class Server(Subject):
    """A running `wsauth serve`; `admin` is the port of its admin listener."""

    admin: int

    def client(self) -> Client:
        """Return a client of the HTTP API."""
        return Client(self.port)

    def admin_client(self, token: str) -> Client:
        """Return a client of the admin API."""
        return Client(self.admin, token)


class Site:
    """A folder with a store, its key file and perhaps a configuration, which servers and commands share."""

    def __init__(self, folder: Path, config: str = "", *, limited: bool = False) -> None:
        """Make the folder.

        Args:
            folder: is new.
            config: the text of wsauth.toml.
            limited: keep the limits as they are by default; without it they are raised.
        """
        folder.mkdir(parents=True)
        self.folder = folder
        if config:
            (folder / "wsauth.toml").write_text(config)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WSAUTH")}
        self.environ = {
            **clean,
            "WSAUTH__SERVER__PORT": "0",
            "WSAUTH__ADMIN__LISTEN": "127.0.0.1:0",
            "WSAUTH__TOKENS__ISSUER": ISSUER,
            **({} if limited else RAISED),
        }

    @property
    def store(self) -> Path:
        """Return the file of the store."""
        return self.folder / "wsauth.db"

    async def command(self, *arguments: str, given: str = "") -> str:
        """Run `wsauth …` to its end, and return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(str(WSAUTH), *arguments),
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await process.communicate(given.encode())
        if process.returncode:
            raise NotStarted(f"wsauth {arguments[0]}: {err.decode(errors='replace')}")
        return out.decode()

    async def add_user(self, name: str, *options: str) -> str:
        """Add a user, and return the password."""
        password = secrets.token_urlsafe(24)
        await self.command("users", "add", name, "--password-stdin", *options, given=f"{password}\n")
        return password

    async def token(self, name: str, ttl: str) -> str:
        """Return an access token made by hand."""
        return (await self.command("tokens", "issue", "--subject", name, "--ttl", ttl)).strip()

    @asynccontextmanager
    async def serving(self, processes: int = 1) -> AsyncGenerator[list[Server]]:
        """Run servers on this store until the block ends, all on the servers' core."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self._serving(number)) for number in range(processes)]

    @asynccontextmanager
    async def _serving(self, number: int) -> AsyncGenerator[Server]:
        said = self.folder / f"said-{number}"
        with said.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(LAUNCH), str(CORE), str(WSAUTH), "serve"),
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            port, admin = await _ready(process, said)
            yield Server(process.pid, port, admin)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()


async def _ready(process: asyncio.subprocess.Process, said: Path) -> tuple[int, int]:
    """Wait until a server says where it listens."""
    async with asyncio.timeout(PATIENCE):
        while process.returncode is None:
            if match := READY.search(_text(said)):
                return int(match[1]), int(match[2])
            await asyncio.sleep(0.01)
    raise NotStarted(f"wsauth serve: {_text(said)}")


def _text(said: Path) -> str:
    return said.read_text(errors="replace")
