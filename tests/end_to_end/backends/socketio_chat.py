"""A chat with python-socketio: `uvicorn tests.end_to_end.backends.socketio_chat:app`. Nothing in it knows of wsauth."""

# python-socketio has no types.
# mypy: disable-error-code="import-untyped, untyped-decorator"

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=["https://chat.example.com"])
app = socketio.ASGIApp(server)


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any] | None) -> None:
    """Remember the handshake, and what the client says about itself."""
    await server.save_session(sid, {"scope": environ["asgi.scope"], "name": (auth or {}).get("name", "?")})


@server.event
async def echo(_: str, value: Any) -> Any:
    """Acknowledge with the same."""
    return value


@server.event
async def join(sid: str, room: str) -> str:
    """Enter a room."""
    await server.enter_room(sid, room)
    return f"joined {room}"


@server.event
async def say(sid: str, room: str, text: str) -> int:
    """Tell a room, and acknowledge with the length."""
    async with server.session(sid) as session:
        await server.emit("said", {"by": session["name"], "text": text}, room=room)
    return len(text)


@server.event
async def head(sid: str) -> dict[str, Any]:
    """Show the handshake."""
    async with server.session(sid) as session:
        scope = session["scope"]
    headers = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    return {"target": f"{scope['path']}?{scope['query_string'].decode()}", "headers": headers}


@server.event
async def leave(sid: str) -> None:
    """Disconnect the client."""
    await server.disconnect(sid)
