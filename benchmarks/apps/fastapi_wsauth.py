"""Echo in FastAPI, behind wsauth's middleware; the connection is asked for in the signature."""

from typing import Annotated

from fastapi import FastAPI, WebSocket

from benchmarks.apps.guarded import make_guard
from wsauth import Connection
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.fastapi import connection

app = FastAPI()
app.add_middleware(WebSocketAuthMiddleware, guard=make_guard())


@app.websocket("/ws")
async def echo(socket: WebSocket, me: Annotated[Connection, connection()]) -> None:
    """Answer each message with itself."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)
