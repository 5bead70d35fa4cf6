"""Echo in bare ASGI, without auth."""

from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Accept everybody and answer each message with itself."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": event["text"]})
