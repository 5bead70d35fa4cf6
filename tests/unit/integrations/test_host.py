"""The host of one connection, against a server that breaks."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.end_to_end.guarded import guarded, running, serving, token
from tests.issuing import SteppedClock
from wsauth import Guard, Route
from wsauth.core.throttling import Rate
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.services.throttling import Allowances

Message = MutableMapping[str, Any]


async def test_a_server_whose_receive_fails_leaves_no_application_waiting() -> None:
    """The application is told that the socket is closed, and the client gets 1011 where it still can."""
    seen: list[Message] = []
    sent: list[Message] = []
    incoming: list[Message] = [{"type": "websocket.connect"}]

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.append(await receive())

    async def receive() -> Message:
        if not incoming:
            raise RuntimeError("the server's own fault")
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/open",
        "raw_path": b"/open",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "subprotocols": ["wsauth.v1"],
        "client": ("127.0.0.1", 1),
        "scheme": "ws",
        "extensions": {"websocket.http.response": {}},
    }
    async with Guard(verifiers=[], origins=[], routes=[Route("/open", anonymous=True)]) as guard:
        async with asyncio.timeout(5):
            await WebSocketAuthMiddleware(app, guard=guard)(scope, receive, send)
        assert [message["type"] for message in seen] == ["websocket.disconnect"]
        assert sent[-1]["code"] == 1011
        assert len(guard.connections) == 0


async def test_the_kernel_tells_how_much_a_client_has_sent() -> None:
    """Behind uvicorn the guard can ask for the socket; a server that shows none is not asked."""
    clock = SteppedClock()
    guard = guarded([], clock)
    way = {"Authorization": f"Bearer {token(clock)}"}
    async with serving(guard) as host, connect(f"ws://{host}/ws", additional_headers=way, compression=None) as socket:
        await socket.send("first")
        await socket.recv()
        (connection,) = guard.connections.all()
        before = connection.bytes_received()
        assert before is not None
        await socket.send("x" * 100)
        await socket.recv()
        assert connection.bytes_received() == before + 100 + 6


@pytest.mark.parametrize("offers", [None, [Subprotocol("wsauth.v1")]], ids=["plain", "speaking"])
async def test_messages_over_the_rate_come_later_and_in_order(offers: list[Subprotocol] | None) -> None:
    """A client that sends faster than it may loses nothing, and is not closed."""
    seen: list[Any] = []
    everything = [f"message {each}" for each in range(30)]

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(message["text"])
            if len(seen) == len(everything):
                await send({"type": "websocket.send", "text": "all"})

    routes = [Route("/open", anonymous=True)]
    guard = Guard(verifiers=[], origins=[], routes=routes, allowances=Allowances(messages=Rate(10, 0.1)))
    async with (
        guard,
        running(WebSocketAuthMiddleware(app, guard=guard)) as host,
        connect(f"ws://{host}/open", subprotocols=offers) as socket,
    ):
        for each in everything:
            await socket.send(each)
        async with asyncio.timeout(10):
            while await socket.recv() != "all":
                pass
        assert seen == everything
