"""An application whose guard asks the application itself who a session is. Run it with uvicorn; `PORT` is where."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from wsauth import Guard, HTTPVerifier
from wsauth.integrations.asgi.middleware import WebSocketAuthMiddleware

PAGE = "https://app.example"


async def whoami(request: Request) -> Response:
    """Say who the session is, as the application knows it."""
    if request.cookies.get("sid") != "alices":
        return Response(status_code=401)
    return JSONResponse({"subject": "alice"})


async def me(request: Request) -> Response:
    """Say who wsauth says it is."""
    return JSONResponse({"subject": request.scope["wsauth"].identity.subject})


async def echo(socket: WebSocket) -> None:
    """Answer every message with itself."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


verifier = HTTPVerifier(url=f"http://127.0.0.1:{os.environ['PORT']}/whoami", cookie="sid")
guard = Guard(verifiers=[verifier], origins=[PAGE])
app = WebSocketAuthMiddleware(
    Starlette(routes=[Route("/whoami", whoami), Route("/me", me), WebSocketRoute("/ws", echo)]), guard=guard
)
