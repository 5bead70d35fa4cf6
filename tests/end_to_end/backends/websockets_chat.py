"""A chat with the library `websockets`: rooms are paths. Nothing in it knows of wsauth.

What all the chats here do: a message comes back as it is, but `/say TEXT` goes to everybody in the room, `/head` shows
the handshake, `/long SIZE` sends that much, `/ping` pings, `/close CODE REASON` closes; the rest hear who left and how.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence

from websockets import Subprotocol
from websockets.asyncio.server import ServerConnection, broadcast, serve

rooms: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def chat(socket: ServerConnection) -> None:
    """Serve one member."""
    assert socket.request is not None
    room = rooms[socket.request.path.partition("?")[0]]
    room.add(socket)
    try:
        async for message in socket:
            if isinstance(message, str) and message.startswith("/"):
                await order(socket, room, *message[1:].split(" ", 1))
            else:
                await socket.send(message)
    finally:
        room.discard(socket)
        broadcast(room, f"left {socket.close_code} {socket.close_reason or ''}".rstrip())


async def order(socket: ServerConnection, room: set[ServerConnection], name: str, rest: str = "") -> None:
    """Do what a member orders."""
    if name == "say":
        broadcast(room, rest)
    elif name == "head":
        assert socket.request is not None
        await socket.send(
            json.dumps({"target": socket.request.path, "headers": list(socket.request.headers.raw_items())})
        )
    elif name == "long":
        await socket.send(["x" * 1000] * (int(rest) // 1000))  # a message of many frames
    elif name == "ping":
        await (await socket.ping())
        await socket.send("pong")
    elif name == "close":
        code, _, reason = rest.partition(" ")
        await socket.close(int(code), reason)


def chosen(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Choose the newest protocol that the client knows, if it names any."""
    return next((name for name in (Subprotocol("chat.v2"), Subprotocol("chat.v1")) if name in offered), None)


async def main() -> None:
    """Listen on a free port."""
    async with serve(chat, "127.0.0.1", 0, select_subprotocol=chosen) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"listening on 127.0.0.1:{port}", flush=True)  # noqa: T201  how the tests learn the port
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
