"""An echo in Starlette that takes credentials from everywhere, for the table sources × clients.

The environment variable WSAUTH_TEST_ORIGIN says whose pages may connect.
"""

import logging
import os

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import wsauth
from tests.allowing import FREELY
from tests.apps.guarding import COOKIE, EVERY_SOURCE, SECRET_VARIABLE, SlowVerifier, check_password
from tests.issuing import AUDIENCE, ISSUER
from wsauth import Guard, JWTVerifier, PasswordVerifier
from wsauth.integrations.asgi import WebSocketAuthMiddleware

guard = Guard(
    allowances=FREELY,
    verifiers=[
        JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=os.environ[SECRET_VARIABLE], cookie=COOKIE),
        PasswordVerifier(check_password),
        SlowVerifier(),
    ],
    origins=[os.environ["WSAUTH_TEST_ORIGIN"]],
    sources=EVERY_SOURCE,
    auth_attempts=2,
    routes=[wsauth.Route("/headers-only", sources=["header", "basic"])],
)


async def echo(socket: WebSocket) -> None:
    """Tell them who they are, then send every text back."""
    await socket.accept()
    await socket.send_text(f"you are {socket.user.display_name}")
    async for text in socket.iter_text():
        await socket.send_text(text)


@requires("authenticated", status_code=401)
async def ticket(request: Request) -> PlainTextResponse:
    """Give whoever asks a ticket of their own."""
    return PlainTextResponse(await guard.issue_ticket(request.user.identity))


app = Starlette(
    routes=[
        WebSocketRoute("/ws", echo),
        WebSocketRoute("/headers-only", echo),
        Route("/ticket", ticket, methods=["POST"]),
    ],
    middleware=[Middleware(WebSocketAuthMiddleware, guard=guard)],
)

logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s")
