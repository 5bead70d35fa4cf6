"""A news ticker in Starlette: everybody may listen, editors may publish: `uvicorn examples.starlette_app:app`.

Tokens are JWTs signed with CHAT_SECRET (at least 32 bytes, HS256), from the issuer and for the audience below.
"""

import os

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route as HTTPRoute
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from wsauth import Guard, JWTVerifier, Route
from wsauth.integrations.asgi import WebSocketAuthMiddleware

guard = Guard(
    verifiers=[
        JWTVerifier(
            issuer="https://login.example.com",
            audience="chat",
            secret=os.environ["CHAT_SECRET"],
            roles={"editors": "editor"},
        )
    ],
    origins=["https://app.example.com"],
    routes=[Route("/ticker", anonymous=True)],
    roles={"editor": ["news:*"]},
)
listeners: set[WebSocket] = set()


async def ticker(socket: WebSocket) -> None:
    """Be listened to, by anybody."""
    await socket.accept()
    listeners.add(socket)
    try:
        await socket.send_text(f"welcome, {socket.user.display_name or 'stranger'}")
        while True:
            await socket.receive()
            await socket.send_text("this is a ticker: it listens to nobody")
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        listeners.discard(socket)


@requires("news:publish")
async def desk(websocket: WebSocket) -> None:
    """Take news from editors and pass them to everybody who listens."""
    await websocket.accept()
    async for news in websocket.iter_text():
        for listener in tuple(listeners):
            await listener.send_text(news)
        await websocket.send_text(f"published to {len(listeners)}")


@requires("authenticated")
async def me(request: Request) -> JSONResponse:
    """Say who asks; the same tokens are good for HTTP."""
    return JSONResponse({"subject": request.user.display_name})


app = Starlette(
    routes=[WebSocketRoute("/ticker", ticker), WebSocketRoute("/desk", desk), HTTPRoute("/me", me)],
    middleware=[Middleware(WebSocketAuthMiddleware, guard=guard)],
)
