"""The chat of examples/chat: its backends check nothing, and nobody acts in others' rooms, as others, or beyond a role.

Once it is the FastAPI application, once the Node backend behind the gateway, with the same file of rules.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.end_to_end.administering import closed
from tests.end_to_end.node import FOLDER
from tests.end_to_end.oidc import free_port, listening
from tests.issuing import SECRET, signed
from tests.lifeline import hold, release
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import eventually

EXAMPLE = Path(__file__).parents[2] / "examples" / "chat"


class Chat(Protocol):
    """Be the chat in one of its forms."""

    url: str

    async def token(self, name: str, roles: Sequence[str]) -> str:
        """Return a token of somebody new."""

    async def demote(self, name: str, roles: Sequence[str], socket: ClientConnection) -> str:
        """Give somebody other roles while they are connected, and return a token with which they come back, if any."""


class Application:
    """Be the FastAPI application; roles are in tokens, so other roles come with a renewal."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def token(self, name: str, roles: Sequence[str]) -> str:
        now = int(time.time())
        said = {"iss": "https://login.example.com", "aud": "chat", "sub": name, "iat": now, "exp": now + 600}
        return signed({**said, "roles": list(roles), "jti": f"{name} {roles}"})

    async def demote(self, name: str, roles: Sequence[str], socket: ClientConnection) -> str:
        await socket.send(json.dumps({"type": "auth", "token": await self.token(name, roles)}))
        assert (await control(socket, "auth_success"))["roles"] == list(roles)
        return ""


class Gateway:
    """Be the Node backend behind the gateway, with users of the server."""

    def __init__(self, at: Serving) -> None:
        self.at = at
        self.url = at.ws

    async def token(self, name: str, roles: Sequence[str]) -> str:
        password = await self.at.add_user(name, "a horse that somebody has", roles=roles)
        return str((await self.at.login(name, password))["access_token"])

    async def demote(self, name: str, roles: Sequence[str], socket: ClientConnection) -> str:
        asked = [part for role in roles for part in ("--role", role)]
        assert (await self.at.command("users", "set-roles", name, *asked)).status == 0
        # What the backend goes on to send was allowed by the role that is gone: so the socket is closed.
        assert (await closed(socket)).startswith("1012 rights_changed")
        return str((await self.at.login(name, "a horse that somebody has"))["access_token"])


@asynccontextmanager
async def application(_: Path, __: Path) -> AsyncGenerator[Chat]:
    """Run the FastAPI application."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "examples.chat.app:app", "--port", str(port), "--log-level", "error"),
        cwd=EXAMPLE.parents[1], env={**os.environ, "CHAT_SECRET": SECRET}, start_new_session=True,
    )  # fmt: skip
    hold(process.pid)
    try:

        async def up() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await eventually(up)
        yield Application(f"ws://127.0.0.1:{port}")
    finally:
        process.kill()
        await process.wait()
        release(process.pid)


@asynccontextmanager
async def gateway(folder: Path, node: Path) -> AsyncGenerator[Chat]:
    """Run the Node backend, where it finds `ws`, and the gateway in front of it."""
    port = free_port()
    backend = FOLDER / f"chat-{port}.mjs"
    backend.write_text((EXAMPLE / "backend.mjs").read_text())
    config = (EXAMPLE / "wsauth.toml").read_text().replace("127.0.0.1:9000", f"127.0.0.1:{port}")
    (folder / "rules.toml").write_text((EXAMPLE / "rules.toml").read_text())
    try:
        async with listening(node, backend, str(port), cwd=FOLDER), serving(folder, config=config) as at:
            yield Gateway(at)
    finally:
        backend.unlink()


async def control(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of this type."""
    while (told := json.loads(await socket.recv()))["type"] != kind:
        pass
    return dict(told)


async def code(socket: ClientConnection, **message: object) -> str:
    """Send a message that is refused, and return with which code."""
    await socket.send(json.dumps(message))
    return str((await control(socket, "auth_refused"))["code"])


@pytest.mark.parametrize("form", [application, gateway])
async def test_mallory_fails_everywhere(tmp_path: Path, node: Path, form: Any) -> None:
    """In others' rooms, as others, beyond the role, demoted, with what no rule names: within a second."""
    async with form(tmp_path, node) as chat, AsyncExitStack() as stack:

        async def enter(name: str, *roles: str, token: str = "") -> ClientConnection:
            headers = {"Authorization": f"Bearer {token or await chat.token(name, roles)}"}
            offers: Any = ["wsauth.v1"]
            opened = connect(f"{chat.url}/ws", additional_headers=headers, subprotocols=offers, compression=None)
            socket = await stack.enter_async_context(opened)
            await control(socket, "auth_success")
            return socket

        alice = await enter("alice", "lobby-owner")
        mallory = await enter("mallory", "garden-member")
        await alice.send('{"type":"join","room":"lobby"}')
        assert (await control(alice, "join"))["who"] == "alice"
        # In another's room, as another, with a room that is a pattern or a path.
        for room in ("lobby", "*", "**", "garden:send", "lobby ", "LOBBY"):
            for kind in ("join", "say"):
                wanted = "message_invalid" if room in ("*", "**", "garden:send", "lobby ") else "permission_denied"
                if kind == "say" or wanted == "permission_denied":
                    assert await code(mallory, type=kind, room=room, text="hi") == wanted, (room, kind)
        mallory = await enter("mallory-too", "lobby-member")
        await mallory.send('{"type":"join","room":"lobby","who":"alice"}')
        assert (await control(alice, "join"))["who"] == "mallory-too"
        await mallory.send('{"type":"say","room":"lobby","text":"I am alice","who":"alice"}')
        assert (await control(alice, "say"))["who"] == "mallory-too"
        # Beyond the role, and beyond the rules.
        assert await code(mallory, type="remove", room="lobby", message=1) == "permission_denied"
        assert await code(mallory, type="rename", room="lobby", title="mine") == "permission_denied"
        assert await code(mallory, type="delete-everything", room="lobby") == "message_invalid"
        assert await code(mallory, type="say", room="lobby", text="x", role="lobby-owner") == "message_invalid"
        # A moderator, and then no more.
        bob = await enter("bob", "lobby-moderator")
        await bob.send('{"type":"remove","room":"lobby","message":1}')
        assert (await control(alice, "remove"))["who"] == "bob"
        again = await chat.demote("bob", ["lobby-member"], bob)
        if again:
            bob = await enter("bob", token=again)
        assert await code(bob, type="remove", room="lobby", message=2) == "permission_denied"
        await bob.send('{"type":"say","room":"lobby","text":"still here"}')
        assert (await control(alice, "say"))["text"] == "still here"
        # And the owner may.
        await alice.send('{"type":"rename","room":"lobby","title":"The lobby"}')
        assert (await control(alice, "rename"))["title"] == "The lobby"
