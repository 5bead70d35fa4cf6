"""The built-in echo: what a route serves until there is something better behind it."""

from starlette.types import Receive, Scope, Send

__all__ = ["echo"]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send every message back, until the peer goes."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
