"""A gateway in front of an unchanged backend: one option, logins by a message, anonymous paths, revocation."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from websockets import ConnectionClosed, InvalidStatus, Subprotocol
from websockets.asyncio.client import connect
from websockets.typing import Origin

from tests.end_to_end.backends.reaching import PAGE, Backend, Gateway, gateway, new_room
from tests.end_to_end.backends.running import process, python_program
from tests.wsauth_sockets import said

pytestmark = pytest.mark.anyio
ANYBODY = '[[routes]]\npath = "/open/*"\nupstream = "echo"\nanonymous = true\n'


@pytest.fixture(scope="module")
async def chat(anyio_backend: str) -> AsyncGenerator[Backend]:
    """Run a chat."""
    async with process(*python_program("tests.end_to_end.backends.websockets_chat")) as address:
        yield Backend("websockets", f"ws://{address}", "/*")


@pytest.fixture(scope="module")
async def front(chat: Backend, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Gateway]:
    """Run `wsauth serve --upstream ws://…`, with one path for anybody."""
    folder = tmp_path_factory.mktemp("front")
    async with gateway(folder, options=["--upstream", chat.upstream], more=ANYBODY) as running:
        yield running


async def test_one_option_serves_every_path(front: Gateway, chat: Backend) -> None:
    """Alice and Bob talk on whatever path they like; the backend knows which."""
    door, room = front.door(chat), new_room()
    async with door.connect(room) as alice, door.connect(room, "bob") as bob:
        await alice.send("/say hello")
        assert await bob.recv() == await alice.recv() == "hello"
        await alice.send("/head")
        assert json.loads(await alice.recv())["target"] == f"/{room}/"


async def test_a_login_by_a_message(front: Gateway, chat: Backend) -> None:
    """Before it the backend is not asked; after it, it is in an ordinary conversation that begins now."""
    room = new_room()
    token = front.logins["alice"]["access_token"]
    async with (
        front.door(chat).connect(room, "bob") as bob,
        connect(f"{front.at.ws}/{room}/", origin=Origin(PAGE), subprotocols=[Subprotocol("wsauth.v1")]) as alice,
    ):
        assert json.loads(await alice.recv())["type"] == "auth_required"
        await bob.send("/say anybody?")
        assert await bob.recv() == "anybody?"
        await alice.send(json.dumps({"type": "auth", "token": token}))
        assert json.loads(await alice.recv())["type"] == "auth_success"
        await alice.send("/say hello")
        assert await alice.recv() == await bob.recv() == "hello"
        await alice.send("/head")
        head = {name.lower(): value for name, value in json.loads(await alice.recv())["headers"]}
        assert head["x-wsauth-subject"] == "alice"
        assert "sec-websocket-protocol" not in head
        assert not [value for value in head.values() if token in value]


async def test_nobody_has_no_name(front: Gateway) -> None:
    """On an anonymous path the backend sees a role and an assertion, and no subject, whoever somebody says to be."""
    async with connect(f"{front.at.ws}/open/lobby", additional_headers={"X-Wsauth-Subject": "alice"}) as stranger:
        await stranger.send("/head")
        head = {name.lower(): value for name, value in json.loads(await stranger.recv())["headers"]}
    assert head["x-wsauth-roles"] == "anonymous"
    assert not head.keys() & {"x-wsauth-subject", "x-wsauth-issuer", "x-wsauth-session"}
    assert "x-wsauth-assertion" in head


async def test_a_revocation_ends_both_sides(front: Gateway, chat: Backend) -> None:
    """The client is told why, and the backend sees it go; Bob, whose session is another, stays (GW-22)."""
    door, room = front.door(chat), new_room()
    async with door.connect(room) as alice, door.connect(room, "bob") as bob:
        await bob.send("here")
        assert await bob.recv() == "here"
        done = await front.at.command("sessions", "revoke", front.logins["alice"]["session_id"])
        assert done.status == 0, done.err
        async with asyncio.timeout(3):
            with pytest.raises(ConnectionClosed):
                await alice.recv()
            assert str(await bob.recv()).startswith("left ")
        assert alice.close_code == 3000
        assert (alice.close_reason or "").startswith("session_revoked")
        await bob.send("still here")
        assert await bob.recv() == "still here"


async def test_a_backend_that_is_gone(front: Gateway, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nobody listens there: 502, and the log says what could not be reached."""
    nobody = Backend("nobody", "ws://127.0.0.1:9", "/*")
    async with gateway(tmp_path_factory.mktemp("gone"), options=["--upstream", nobody.upstream]) as running:
        with pytest.raises(InvalidStatus) as refused:
            await running.door(nobody).connect("lobby").__aenter__()
        assert refused.value.response.status_code == 502
        assert "127.0.0.1:9" in await said(running.at, "upstream_unavailable")
