"""Echo in Starlette with PyJWT, as people write it by hand."""

import jwt
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET


async def echo(socket: WebSocket) -> None:
    """Answer each message of who brings a good token with itself."""
    token = socket.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        socket.state.user = jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.InvalidTokenError:
        await socket.close(1008)
        return
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


app = Starlette(routes=[WebSocketRoute("/ws", echo)])
