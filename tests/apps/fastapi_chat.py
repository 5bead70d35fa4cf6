"""A chat in FastAPI behind the middleware, written as the contract's example."""

import logging
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, HTTPException, WebSocket

from tests.apps.guarding import make_guard
from tests.issuing import ISSUER
from wsauth import Connection, Identity
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.fastapi import connection, identity

guard = make_guard()
router = APIRouter()


@router.websocket("/ws")
async def chat(socket: WebSocket, me: Annotated[Connection, connection()]) -> None:
    """Tell everybody who they are."""
    await socket.accept()
    async for _ in socket.iter_text():
        await socket.send_text(me.identity.subject)


@router.websocket("/lobby")
async def lobby(socket: WebSocket, me: Annotated[Connection, connection("chat:lobby:read")]) -> None:
    """Tell members who they are."""
    await chat(socket, me)


@router.websocket("/raising")
async def raising(socket: WebSocket) -> None:
    """Raise as FastAPI's own security helpers do."""
    raise HTTPException(401)


@router.get("/me")
async def me(user: Annotated[Identity, identity()]) -> dict[str, str]:
    """Say who makes a request."""
    return {"issuer": user.issuer, "subject": user.subject}


@router.post("/users/{user}/kick")
async def kick(user: str, admin: Annotated[Identity, identity("chat:admin")]) -> Any:
    """Disconnect somebody for a minute."""
    return msgspec.to_builtins(await guard.disconnect(subject=user, issuer=ISSUER, retry_after=60))


bare = FastAPI()
bare.include_router(router)
app = FastAPI()
app.include_router(router)
app.add_middleware(WebSocketAuthMiddleware, guard=guard)

logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s")
