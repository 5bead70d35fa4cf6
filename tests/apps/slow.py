"""An application for `upstream = "asgi:tests.apps.slow:app"`: it is slow, talks much, and remembers what it heard."""

import asyncio

from wsauth.integrations.asgi.types import Receive, Scope, Send

__all__ = ["app"]

_heard: set[str] = set()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every message: `wait SECONDS` late, `flood COUNT` with much, `heard TEXT` with yes or no, others as is."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message["text"]
        word, _, rest = text.partition(" ")
        if word == "heard":
            text = "yes" if rest in _heard else "no"
        else:
            _heard.add(text)
        if word == "wait":
            await asyncio.sleep(float(rest))
        if word == "flood":
            for _ in range(int(rest)):
                await send({"type": "websocket.send", "text": "x" * 60_000})
        await send({"type": "websocket.send", "text": text})
