"""A small FastAPI application under a guard, for the tests of the kit."""

from typing import Annotated, NamedTuple

from fastapi import FastAPI, WebSocket

from wsauth import Connection, Guard, Identity, JWTVerifier, Route
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.fastapi import connection, identity
from wsauth.testing import FakeClock

ISSUER = "https://login.example.com"
ORIGIN = "https://app.example.com"


class Chat(NamedTuple):
    """Be the application and its guard."""

    app: FastAPI
    guard: Guard


def chat(clock: FakeClock | None = None) -> Chat:
    """Make the application; its provider cannot be reached from a test."""
    app = FastAPI()
    guard = Guard(
        verifiers=[
            JWTVerifier(
                issuer=ISSUER,
                audience="chat",
                jwks_url="http://127.0.0.1:9/keys",
                roles={"users": "member"},
                required_claims={"tenant": ["blue", "green"]},
                roles_claim="realm_access.roles",
                leeway=0,
                clock=clock,
            )
        ],
        origins=[ORIGIN],
        routes=[Route("/admin", require=["chat:admin"]), Route("/closed", sources=["header"])],
        roles={"member": ["chat:*:send"]},
        clock=clock,
    )
    app.add_middleware(WebSocketAuthMiddleware, guard=guard)

    async def echo(socket: WebSocket, me: Annotated[Connection, connection()]) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{me.identity.subject}: {text}")

    for path in ("/ws", "/admin", "/closed"):
        app.add_api_websocket_route(path, echo)

    @app.get("/me")
    def me(who: Annotated[Identity, identity()]) -> str:
        return who.subject

    return Chat(app, guard)
