"""python-socketio with its own client, over WebSocket alone: straight and through the gateway."""

# python-socketio has no types.
# mypy: disable-error-code="import-untyped"

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import socketio

from tests.end_to_end.backends.reaching import PAGE, WAYS, Backend, Door, Gateway, gateway, new_room
from tests.end_to_end.backends.running import process, uvicorn

pytestmark = pytest.mark.anyio
APP = "tests.end_to_end.backends.socketio_chat:app"
PATIENCE = 15.0
"""Seconds after which silence fails a test."""


class Restartable:
    """Be the backend, which can be restarted on its port.

    Attributes:
        backend: where it is.
    """

    backend: Backend

    def __init__(self) -> None:
        self._running = AsyncExitStack()

    async def start(self, port: int = 0) -> None:
        """Start it."""
        address = await self._running.enter_async_context(process(*uvicorn(APP, port)))
        self.backend = Backend("socketio", f"ws://{address}", "/socket.io/*")

    async def stop(self) -> None:
        """Stop it, as a new release does."""
        await self._running.aclose()

    @property
    def port(self) -> int:
        """Return where it listens."""
        return int(self.backend.upstream.rpartition(":")[2])


@pytest.fixture(scope="module")
async def chat(anyio_backend: str) -> AsyncGenerator[Restartable]:
    """Run the backend."""
    running = Restartable()
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@pytest.fixture(scope="module")
async def chat_gateway(chat: Restartable, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Gateway]:
    """Run the gateway in front of it."""
    async with gateway(tmp_path_factory.mktemp("gateway"), chat.backend) as running:
        yield running


@pytest.fixture(params=WAYS)
def door(request: pytest.FixtureRequest, chat: Restartable) -> Door:
    """Return a way to the backend."""
    if request.param == "direct":
        return Door(chat.backend)
    running: Gateway = request.getfixturevalue("chat_gateway")
    return running.door(chat.backend)


class Client(socketio.AsyncClient):  # type: ignore[misc]  # python-socketio has no types
    """Be the library's own client, with what it heard."""

    def __init__(self) -> None:
        super().__init__(reconnection_delay=0.05, reconnection_delay_max=0.2)
        self.said: asyncio.Queue[Any] = asyncio.Queue()
        self.times: asyncio.Queue[str] = asyncio.Queue()
        self.on("said", self.said.put)
        self.on("connect", lambda: self.times.put_nowait("connect"))
        self.on("disconnect", lambda reason: self.times.put_nowait("disconnect"))

    async def hears(self) -> Any:
        """Return the next thing that was said."""
        async with asyncio.timeout(PATIENCE):
            return await self.said.get()

    async def happens(self) -> str:
        """Return the next coming or going."""
        async with asyncio.timeout(PATIENCE):
            return await self.times.get()


@asynccontextmanager
async def client(door: Door, who: str = "alice", query: str = "", **headers: str) -> AsyncGenerator[Client]:
    """Connect somebody's client; what it says about itself is the application's business, and of no use here."""
    socket = Client()
    given = {"Origin": PAGE, **(door.headers(who) if not query else {}), **headers}
    url = door.url.replace("ws", "http", 1) + query
    await socket.connect(url, headers=given, transports=["websocket"], auth={"name": who}, wait_timeout=PATIENCE)
    assert await socket.happens() == "connect"
    try:
        yield socket
    finally:
        await socket.disconnect()


@pytest.mark.parametrize(
    "value",
    ["hello", {"a": [1, None, "☃"]}, b"\x00\xff", {"file": b"x" * 70_000, "name": "a"}, "y" * 500_000],
    ids=["text", "json", "bytes", "attachment", "large"],
)
async def test_an_event_is_acknowledged(door: Door, value: Any) -> None:
    """What was emitted comes back in the acknowledgement; bytes travel as frames of their own."""
    async with client(door) as alice:
        assert await alice.call("echo", value, timeout=PATIENCE) == value


async def test_rooms(door: Door) -> None:
    """Alice and Bob hear each other in the room that both joined; nobody else does."""
    room, other = new_room(), new_room()
    async with client(door) as alice, client(door, "bob") as bob:
        assert await alice.call("join", room) == f"joined {room}"
        assert await bob.call("join", room) == f"joined {room}"
        assert await alice.call("say", (other, "not for Bob")) == 11
        assert await alice.call("say", (room, "hello")) == 5
        assert await bob.hears() == await alice.hears() == {"by": "alice", "text": "hello"}


async def test_many_events_keep_their_order(door: Door) -> None:
    """Two hundred events, emitted without waiting, are heard in order."""
    room = new_room()
    async with client(door) as alice:
        await alice.call("join", room)
        for number in range(200):
            await alice.emit("say", (room, str(number)))
        assert [(await alice.hears())["text"] for _ in range(200)] == [str(number) for number in range(200)]


async def test_the_backend_disconnects(door: Door) -> None:
    """The client learns that it was sent away, and does not come again."""
    async with client(door) as alice:
        await alice.emit("leave")
        assert await alice.happens() == "disconnect"
        assert not alice.connected


async def test_a_client_comes_back_when_the_backend_was_restarted(door: Door, chat: Restartable) -> None:
    """It tries until the backend is there again, with the headers that it has, and goes on."""
    async with client(door) as alice:
        await chat.stop()
        assert await alice.happens() == "disconnect"
        await chat.start(chat.port)
        assert await alice.happens() == "connect"
        assert await alice.call("echo", "back", timeout=PATIENCE) == "back"


async def test_the_backend_sees_who_it_is(chat: Restartable, chat_gateway: Gateway) -> None:
    """Alice, whatever she says about herself; the protocol's own query is there, and the token is not."""
    async with client(chat_gateway.door(chat.backend), X_Wsauth_Subject="mallory") as alice:
        seen = await alice.call("head")
    headers = dict(seen["headers"])
    assert headers["x-wsauth-subject"] == "alice"
    assert [value for _, value in seen["headers"]].count("mallory") == 0
    assert "authorization" not in headers
    assert "transport=websocket&EIO=4" in seen["target"]


async def test_a_page_connects_with_a_ticket(chat: Restartable, chat_gateway: Gateway) -> None:
    """A browser sets no headers: the ticket stands in the query, and is cut from it."""
    ticket = await chat_gateway.at.ticket(chat_gateway.logins["alice"]["access_token"])
    async with client(chat_gateway.door(chat.backend), query=f"/?ticket={ticket}&tab=1") as alice:
        seen = await alice.call("head")
    assert seen["target"].startswith("/socket.io/?tab=1&transport=websocket&EIO=4")
    assert dict(seen["headers"])["x-wsauth-subject"] == "alice"
