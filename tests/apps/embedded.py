"""Applications that share the store of `wsauth serve`: one with another issuer's tokens, one with our own users."""

import os
from typing import Annotated

from fastapi import FastAPI, WebSocket

from tests.allowing import FREELY
from tests.issuing import AUDIENCE, ISSUER
from wsauth import Connection, Guard, Identity, JWTVerifier
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.fastapi import connection, identity

__all__ = ["app"]


def _application(guard: Guard) -> FastAPI:
    app = FastAPI()
    app.add_middleware(WebSocketAuthMiddleware, guard=guard)

    @app.websocket("/ws")
    async def echo(socket: WebSocket, me: Annotated[Connection, connection()]) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{me.identity.subject}: {text}")

    @app.post("/ticket")
    async def ticket(me: Annotated[Identity, identity()]) -> dict[str, str]:
        return {"ticket": await guard.issue_ticket(me)}

    return app


def _sharing() -> FastAPI:
    """Take the tokens of another issuer, and revocations and tickets from the store."""
    folder = os.environ["WSAUTH_TEST_FOLDER"]
    return _application(
        Guard(
            allowances=FREELY,
            verifiers=[JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=os.environ["WSAUTH_TEST_SECRET"])],
            origins=[],
            store=f"sqlite:///{folder}/wsauth.db",
            key_file=f"{folder}/wsauth.key",
        )
    )


def _configured() -> FastAPI:
    """Take the logins of `wsauth serve`, as its configuration says."""
    return _application(Guard.from_config(f"{os.environ['WSAUTH_TEST_FOLDER']}/wsauth.toml"))


app = {"sharing": _sharing, "configured": _configured}[os.environ["WSAUTH_TEST_KIND"]]()
