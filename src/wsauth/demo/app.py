"""The sample application, which a route names as its upstream: a chat, and nothing about logins."""

from typing import Annotated, Final

from fastapi import FastAPI, WebSocket

from wsauth import Connection
from wsauth.demo.room import Room
from wsauth.integrations.fastapi import connection

__all__ = ["chat", "room"]

room: Final = Room()
chat: Final = FastAPI(openapi_url=None)


@chat.websocket("/ws")
async def talk(socket: WebSocket, me: Annotated[Connection, connection("chat:read")]) -> None:
    """Be in the room until the socket closes."""
    await socket.accept()
    await room.stay(socket, me)
