"""A chat in FastAPI with rooms, rights and an administrator: `uvicorn examples.fastapi_app:app`.

Tokens are JWTs signed with CHAT_SECRET (at least 32 bytes, HS256), from the issuer and for the audience below.
"""

import os
from collections import defaultdict
from typing import Annotated

from fastapi import FastAPI, WebSocket

from wsauth import Closed, Connected, Connection, Guard, Identity, JWTVerifier
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.fastapi import connection, identity

ISSUER = "https://login.example.com"

app = FastAPI()
guard = Guard(
    verifiers=[
        JWTVerifier(issuer=ISSUER, audience="chat", secret=os.environ["CHAT_SECRET"], roles={"users": "member"})
    ],
    origins=["https://app.example.com"],
    roles={"member": ["rooms:*:read", "rooms:lobby:write"]},
)
app.add_middleware(WebSocketAuthMiddleware, guard=guard)
rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)
online: set[str] = set()


@guard.on(Connected)
def came(event: Connected) -> None:
    """Note every connection; events are values, and this is called as they happen."""
    online.add(event.connection_id)


@guard.on(Closed)
def went(event: Closed) -> None:
    """Note every end, whoever made it."""
    online.discard(event.connection_id)


@app.websocket("/rooms/{room}")
async def chat(socket: WebSocket, room: str, me: Annotated[Connection, connection()]) -> None:
    """Talk in a room: reading is decided here, writing for every message, by the lease of that moment."""
    me.require(f"rooms:{room}:read")
    await socket.accept()
    rooms[room].add(socket)
    try:
        async for text in socket.iter_text():
            if me.allows(f"rooms:{room}:write"):
                for other in tuple(rooms[room]):
                    await other.send_text(f"{me.identity.subject}: {text}")
            else:
                await me.refuse("permission_denied", detail=f"you may only read in {room}")
    finally:
        rooms[room].discard(socket)


@app.post("/tickets")
async def ticket(who: Annotated[Identity, identity()]) -> dict[str, str]:
    """Give whoever has a token a ticket, for clients that cannot send headers: `wss://…/rooms/lobby?ticket=…`."""
    return {"ticket": await guard.issue_ticket(who)}


@app.post("/users/{user}/kick")
async def kick(user: str, _: Annotated[Identity, identity("users:kick")]) -> dict[str, int]:
    """Close every connection of a user, who may come back in a minute."""
    report = await guard.disconnect(subject=user, issuer=ISSUER, retry_after=60)
    return {"closed": report.closed}


@app.post("/users/{user}/revoke")
async def revoke(user: str, _: Annotated[Identity, identity("users:kick")]) -> dict[str, int]:
    """Make worthless whatever was issued to a user until now, and close what it opened."""
    report = await guard.revoke(subject=user, issuer=ISSUER)
    return {"closed": report.closed}


@app.get("/online")
async def count(_: Annotated[Identity, identity()]) -> dict[str, int]:
    """Count the connections, for anybody with a token."""
    return {"connections": len(online)}
