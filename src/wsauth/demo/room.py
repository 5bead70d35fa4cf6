"""One chat room, and who is in it."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from wsauth import Connection

__all__ = ["Room"]

_LONGEST = 500
"""Characters of a message."""
_WAITING = 100
"""Messages that wait for a member who does not read, or whose lease has ended; further ones are dropped."""


class Room:
    """Pass what one member says to all."""

    def __init__(self) -> None:
        self._members: dict[Connection, asyncio.Queue[str]] = {}

    async def stay(self, socket: WebSocket, me: Connection) -> None:
        """Be in the room until the socket closes."""
        waiting: asyncio.Queue[str] = asyncio.Queue(_WAITING)
        self._members[me] = waiting
        self.tell_who_is_here()
        writer = asyncio.create_task(_write(socket, waiting))
        try:
            async for message in socket.iter_text():
                await self._say(me, message)
        finally:
            writer.cancel()
            del self._members[me]
            self.tell_who_is_here()

    def tell_who_is_here(self) -> None:
        """Tell everybody who is here, in how many tabs, and as what."""
        people: dict[str, dict[str, Any]] = {}
        for member in sorted(self._members, key=lambda member: member.identity.subject):
            identity = member.identity
            found = people.setdefault(identity.subject, {"tabs": 0, "roles": list(identity.roles)})
            found["tabs"] += 1
        self._tell({"type": "people", "people": people})

    async def _say(self, me: Connection, message: str) -> None:
        text = _text(message)
        if text is None:
            await me.refuse("message_invalid", detail=f'text: write {{"text": "…"}}, 1 to {_LONGEST} characters')
        elif not me.allows("chat:send"):
            await me.refuse("permission_denied", detail="chat:send is required")
        else:
            self._tell({"type": "chat", "from": me.identity.subject, "text": text})

    def _tell(self, message: dict[str, Any]) -> None:
        """Queue a message for everybody: one who waits for a renewal must not hold up the others."""
        for waiting in self._members.values():
            with suppress(asyncio.QueueFull):
                waiting.put_nowait(json.dumps(message))


async def _write(socket: WebSocket, waiting: "asyncio.Queue[str]") -> None:
    with suppress(WebSocketDisconnect):
        while True:
            await socket.send_text(await waiting.get())


def _text(message: str) -> str | None:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return None
    text = value.get("text") if isinstance(value, dict) else None
    return text if isinstance(text, str) and 0 < len(text) <= _LONGEST else None
