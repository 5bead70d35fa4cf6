"""`wsauth connect` against a real server: signing in, talking, renewing, and how it ends."""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.lifeline import hold, release
from tests.unit.cli.terminal import terminal
from tests.wsauth_server import PATIENCE, WSAUTH, Serving, environment, serving

PASSWORD = "correct horse battery staple"


class Client:
    """Be a `wsauth connect` with pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def said(self, text: str) -> str:
        """Return the next line on standard error with a text."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while text not in (line := (await self.process.stderr.readline()).decode()):
                assert line, f"{text!r} was not said"
        return line

    async def printed(self) -> str:
        """Return the next line on standard output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode()

    def send(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def status(self) -> int:
        """Return its exit status, when it has ended."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


@asynccontextmanager
async def client(server: Serving, *arguments: str, path: str = "/ws") -> AsyncGenerator[Client]:
    """Run `wsauth connect` at the echo of a server."""
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(str(WSAUTH), "connect", f"{server.ws}{path}", *arguments),
        env=environment(),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    )
    hold(process.pid)
    try:
        yield Client(process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
        release(process.pid)


ROUTES = """
[tokens]
access_ttl = "16s"
[[routes]]
path = "/ws"
upstream = "echo"
[[routes]]
path = "/basic"
upstream = "echo"
sources = ["basic", "message"]
"""


async def test_connect_with_a_password_talks_and_renews(tmp_path: Path) -> None:
    """It signs in over HTTP, or by message where the route takes that, echoes, renews, and hears why it is closed."""
    async with serving(tmp_path, config=ROUTES) as server:
        await server.add_user("alice", PASSWORD)
        await server.add_user("bob", PASSWORD)
        await asyncio.gather(talk(server, "alice", "/ws"), talk(server, "bob", "/basic"))


async def talk(server: Serving, name: str, path: str) -> None:
    """Do what a person does, until another one ends it."""
    async with client(server, "--user", name, "--password-stdin", path=path) as me:
        me.send(PASSWORD)
        me.send("hello")
        await me.said("credentials are required within 10 s: token, ")
        said = (await me.said(f"signed in as {name} (wsauth)")).strip()
        assert re.search(r"; ends in 1\d(\.\d+)? s; renew in (9|1\d)(\.\d+)? s$", said), said
        assert await me.printed() == "hello\n"
        await me.said(f"signed in as {name}")  # renewed
        assert (await server.command("sessions", "revoke", "--subject", name.upper())).status == 0
        assert "sign in again, id " in await me.said("session_revoked")
        assert await me.status() == 1


async def test_connect_with_a_token_and_with_a_ticket(tmp_path: Path) -> None:
    """Token and ticket are the first line of standard input; a ticket is good once."""
    async with serving(tmp_path) as server:
        await server.add_user("alice", PASSWORD)
        token = str((await server.login("alice", PASSWORD))["access_token"])
        ticket = await server.ticket(token)
        for option, credential in (("--token-stdin", token), ("--ticket-stdin", ticket)):
            async with client(server, option) as me:
                me.send(credential)
                await me.said("signed in as alice")
                me.send("hello")
                assert await me.printed() == "hello\n"
                me.process.send_signal(signal.SIGINT)
                assert await me.status() == 130
        async with client(server, "--ticket-stdin") as me:
            me.send(ticket)
            assert "ticket_invalid; try again" in await me.said("refused")
            assert await me.status() == 1


async def test_connect_on_a_terminal_asks_without_echo(tmp_path: Path) -> None:
    """The password is asked for and not shown, and Ctrl-D closes normally."""
    async with serving(tmp_path) as server:
        await server.add_user("alice", PASSWORD)
        async with terminal(tmp_path, "connect", f"{server.ws}/ws", "--user", "alice") as screen:
            await screen.expect("Password: ")
            screen.type(f"{PASSWORD}\n")
            await screen.expect("signed in as alice")
            screen.type("\x04")
            assert await screen.status() == 0
            assert PASSWORD not in screen.shown


async def test_connect_with_a_wrong_password_is_refused(tmp_path: Path) -> None:
    """What the server refuses is said with its code, what to do and the id, and the exit status is 1."""
    async with serving(tmp_path) as server, client(server, "--user", "mallory", "--password-stdin") as me:
        me.send("no idea whatsoever")
        assert re.search(r"\(credentials_invalid; sign in again, id \w{12}\)$", (await me.said("refused")).strip())
        assert await me.status() == 1
