"""An application in the server's process that has everything logged at DEBUG, and fails when it is told to."""

import logging

from starlette.types import Receive, Scope, Send

__all__ = ["application"]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every message with itself; on `boom` fail, with the handshake and the message in flight."""
    for name in (None, *logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "boom":
            raise RuntimeError(f"{scope['path']} fails with secrets in flight")
        await send({**message, "type": "websocket.send"})
