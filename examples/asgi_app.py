"""An echo in plain ASGI, without any framework: `uvicorn examples.asgi_app:app`.

Tokens are JWTs signed with CHAT_SECRET (at least 32 bytes, HS256), from the issuer and for the audience below.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from wsauth import Connection, Guard, JWTVerifier
from wsauth.integrations.asgi import WebSocketAuthMiddleware

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

guard = Guard(
    verifiers=[JWTVerifier(issuer="https://login.example.com", audience="chat", secret=os.environ["CHAT_SECRET"])],
    origins=["https://app.example.com"],
)


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answer every message with it and the name of whoever sent it."""
    if scope["type"] != "websocket":
        raise NotImplementedError("this application speaks WebSocket only")
    me: Connection = scope["wsauth"]
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{me.identity.subject}: {message.get('text')}"})


app = WebSocketAuthMiddleware(echo, guard)
