"""The real `wsauth serve` for the tests, and the real command beside it: processes in a folder of their own.

Several servers may share a folder, and with it the store and the key file; they then act as one.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import httpx2

from tests.allowing import FREELY_WRITTEN
from tests.leaks import keep, secret
from tests.lifeline import hold, release

__all__ = ["ISSUER", "WSAUTH", "Done", "Serving", "command", "environment", "secret", "serving"]

ROOT = Path(__file__).parent.parent
WSAUTH = Path(sys.executable).with_name("wsauth")
"""The command that `make install` made."""
ISSUER = "http://wsauth.test"
"""`tokens.issuer` of every server here, since ports differ and one login is good at all of them."""
PATIENCE = 30.0
"""Seconds that a server may take until it accepts connections, and a command until it ends."""
_STOPPING = 5.0
"""Seconds that a server may take to stop on SIGTERM."""
_STORE = "\n  store: "
"""The last line that a server writes when it accepts connections."""


@dataclass(frozen=True, slots=True)
class Done:
    """Hold what a command did.

    Attributes:
        status: its exit status.
        out: its standard output.
        err: its standard error.
    """

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the JSON on its standard output."""
        return json.loads(self.out)


class Serving:
    """Be one `wsauth serve`, which accepts connections.

    Attributes:
        http: `http://127.0.0.1:PORT`.
        ws: `ws://127.0.0.1:PORT`.
        admin: the URL of the admin listener; empty where it is off.
        pid: of the process; with several workers, of their parent.
        folder: where it runs, with its store and key.
    """

    def __init__(
        self, folder: Path, environ: Mapping[str, str], process: "subprocess.Popen[bytes]", written: IO[bytes]
    ) -> None:
        self.http = self.ws = self.admin = ""
        self.pid = process.pid
        self.folder = folder
        self._environ = environ
        self._process = process
        self._written = written

    def output(self) -> str:
        """Return everything that it wrote so far."""
        return os.pread(self._written.fileno(), os.fstat(self._written.fileno()).st_size, 0).decode(errors="replace")

    @property
    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    async def ready(self) -> bool:
        """Wait until it says where it listens; false when the process ended instead."""
        async with asyncio.timeout(PATIENCE):
            while self.alive:
                text = self.output()
                if _STORE in text and text.endswith("\n"):
                    self._read(text)
                    return True
                await asyncio.sleep(0.02)
        return False

    def _read(self, text: str) -> None:
        self.http = re.findall(r"^wsauth is listening on (\S+)$", text, re.MULTILINE)[0]
        self.ws = self.http.replace("http", "ws", 1)
        self.admin = next(iter(re.findall(r"^  admin: (\S+)$", text, re.MULTILINE)), "")

    async def ended(self) -> int:
        """Wait until the process has ended, and return its exit status; negative for the signal that ended it."""
        while self.alive:  # noqa: ASYNC110  a process that ends sets no event
            await asyncio.sleep(0.02)
        return self._process.wait()

    async def kill(self) -> None:
        """Kill it, and its workers, as `kill -9` does."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.ended()
        release(self.pid)

    async def stop(self) -> int:
        """Ask it to stop, kill it if it does not, and return its exit status."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOPPING):
                    await self.ended()
        await self.kill()
        return self._process.wait()

    # What people do at the command line and over HTTP.

    async def command(self, *arguments: str, stdin: str = "") -> Done:
        """Run `wsauth …` beside the server, on the same store."""
        return await command(self.folder, *arguments, stdin=stdin, environ=self._environ)

    async def add_user(self, name: str, password: str, *, roles: Sequence[str] = (), grants: Sequence[str] = ()) -> str:
        """Add a user, and return the password."""
        options = [option for role in roles for option in ("--role", role)]
        options += [option for grant in grants for option in ("--grant", grant)]
        secret(password, f"the password of {name}")
        done = await self.command("users", "add", name, *options, "--password-stdin", stdin=f"{password}\n")
        assert done.status == 0, done.err
        return password

    async def add_service(self, name: str, *, roles: Sequence[str] = (), grants: Sequence[str] = ()) -> str:
        """Add a service, and return its API key."""
        options = [option for role in roles for option in ("--role", role)]
        options += [option for grant in grants for option in ("--grant", grant)]
        done = await self.command("users", "add", name, *options, "--service", "--json")
        assert done.status == 0, done.err
        return secret(done.json()["api_key"], f"the API key of {name}")

    async def login(self, name: str, password: str, **body: object) -> dict[str, Any]:
        """Sign in over HTTP, and return the answer: `access_token`, `refresh_token`, `session_id` …"""
        async with httpx2.AsyncClient(base_url=self.http) as client:
            reply = await client.post("/auth/login", json={"username": name, "password": password, **body})
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        for slot in ("access_token", "refresh_token", "csrf_token"):
            if slot in answer:
                secret(answer[slot], f"the {slot} of {name}")
        return answer

    async def ticket(self, token: str, **body: object) -> str:
        """Return a ticket for whoever has this access token."""
        async with httpx2.AsyncClient(base_url=self.http) as client:
            reply = await client.post("/auth/ticket", json=body, headers={"Authorization": f"Bearer {token}"})
        assert reply.status_code == 200, reply.text
        return secret(reply.json()["ticket"], "a ticket")


def environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a process here: none of our own settings, free ports, and what is given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WSAUTH")}
    return {
        **clean,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "WSAUTH__SERVER__PORT": "0",
        "WSAUTH__ADMIN__LISTEN": "127.0.0.1:0",
        "WSAUTH__TOKENS__ISSUER": ISSUER,
        **FREELY_WRITTEN,
        **(environ or {}),
    }


async def command(folder: Path, *arguments: str, stdin: str = "", environ: Mapping[str, str] | None = None) -> Done:
    """Run `wsauth …` in a folder to its end; its standard error is searched for secrets."""
    process = await asyncio.create_subprocess_exec(
        str(WSAUTH),
        *arguments,
        cwd=folder,
        env=environment(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    hold(process.pid)
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin.encode())
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        release(process.pid)
    keep(f"wsauth {' '.join(arguments)}", err.decode(errors="replace"))
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def serving(
    folder: Path, *arguments: str, config: str = "", environ: Mapping[str, str] | None = None
) -> AsyncGenerator[Serving]:
    """Run `wsauth serve …` in a folder until the block ends; what it wrote is searched for secrets.

    Args:
        folder: holds the store and the key; made by the caller, and shared by several servers if wanted.
        arguments: of `wsauth serve`.
        config: the text of `wsauth.toml`; empty leaves the folder's as it is.
        environ: environment variables beside those of `environment`.

    Raises:
        RuntimeError: it did not start; with what it wrote.
    """
    if config:
        (folder / "wsauth.toml").write_text(config, "utf-8")
    with TemporaryFile() as written:
        process = subprocess.Popen(
            [str(WSAUTH), "serve", *arguments],
            cwd=folder,
            env=environment(environ),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
        hold(process.pid)
        running = Serving(folder, environ or {}, process, written)
        try:
            if not await running.ready():
                raise RuntimeError(f"wsauth serve did not start:\n{running.output()}")
            yield running
        finally:
            await running.stop()
            keep(f"wsauth serve {' '.join(arguments)}", running.output())
