"""A chat in Starlette behind the middleware: `requires`, an HTTPException before accept, and plain handlers."""

import logging

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.apps.guarding import make_guard
from wsauth.integrations.asgi import WebSocketAuthMiddleware


async def echo(websocket: WebSocket) -> None:
    """Send every text back, and say who it is on request."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(websocket.user.display_name if text == "who" else text)


@requires("chat:lobby:read")
async def lobby(websocket: WebSocket) -> None:
    """Echo to members."""
    await echo(websocket)


@requires("authenticated")
async def members(websocket: WebSocket) -> None:
    """Echo to anybody who is somebody."""
    await echo(websocket)


async def raising(websocket: WebSocket) -> None:
    """Raise before accept: `HTTPException` with the status of the path, or `WebSocketException`."""
    status = int(websocket.path_params["status"])
    if status >= 1000:
        raise WebSocketException(status)
    raise HTTPException(status)


@requires("chat:lobby:read", status_code=403)
async def page(request: Request) -> JSONResponse:
    """Say who makes a request."""
    return JSONResponse({"subject": request.user.display_name})


guard = make_guard()
routes = [
    WebSocketRoute("/lobby", lobby),
    WebSocketRoute("/members", members),
    WebSocketRoute("/anonymous", members),
    WebSocketRoute("/raising/{status}", raising),
    WebSocketRoute("/echo", echo),
    Route("/page", page),
]
bare = Starlette(routes=routes)
app = Starlette(routes=routes, middleware=[Middleware(WebSocketAuthMiddleware, guard=guard)])

logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s")
