"""The same chat in FastAPI, which trusts every message: `uvicorn examples.chat.app:app`.

Tokens are JWTs signed with CHAT_SECRET (at least 32 bytes, HS256), from the issuer and for the audience below.
"""

import os
from collections import defaultdict
from itertools import count
from pathlib import Path

from fastapi import FastAPI, WebSocket

from wsauth import Guard, JWTVerifier, Route
from wsauth.integrations.asgi import WebSocketAuthMiddleware

ISSUER = "https://login.example.com"
RULES = Path(__file__).with_name("rules.toml")

app = FastAPI()
guard = Guard(
    verifiers=[JWTVerifier(issuer=ISSUER, audience="chat", secret=os.environ["CHAT_SECRET"], roles="*")],
    origins=["http://localhost:8080"],
    roles={
        "lobby-member": ["chat:lobby:read", "chat:lobby:send"],
        "lobby-moderator": ["@lobby-member", "chat:lobby:moderate"],
        "lobby-owner": ["@lobby-moderator", "chat:lobby:own"],
        "garden-member": ["chat:garden:read", "chat:garden:send"],
    },
    routes=[Route("/ws", message_rules=RULES)],
)
app.add_middleware(WebSocketAuthMiddleware, guard=guard)
rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)
numbers = count(1)


@app.websocket("/ws")
async def chat(socket: WebSocket) -> None:
    """Pass on what comes to whoever is in the room."""
    await socket.accept()
    try:
        async for message in socket.iter_json():
            room = rooms[message["room"]]
            if message["type"] == "join":
                room.add(socket)
            if message["type"] == "say":
                message["message"] = next(numbers)
            for member in list(room):
                await member.send_json(message)
    finally:
        for room in rooms.values():
            room.discard(socket)
