"""A chat in bare ASGI behind the middleware, with a door for the tests at `/control/…`."""

import asyncio
import json
import logging
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tests.apps.guarding import make_guard
from tests.issuing import ISSUER
from wsauth import Closed, Connected, Connection, Identity, Refused, Report, RightsChanged
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.asgi.types import AsgiMessage, Receive, Scope, Send

guard = make_guard()
seen: dict[str, list[Any]] = defaultdict(list)
"""Subject → what the application and the guard's events noticed of it, in order."""
written: dict[str, int] = defaultdict(int)
"""Subject → messages of a flood that the server took."""
sends: dict[str, Send] = {}
"""Subject → how to write to its newest connection."""
pushes: set[asyncio.Task[None]] = set()


@guard.on(Connected | RightsChanged | Closed)
def note(event: Connected | RightsChanged | Closed) -> None:
    """Note an event of the guard."""
    if event.identity is not None:
        seen[event.identity.subject].append(type(event).__name__)


async def chat(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a WebSocket, a request of the tests, or the lifespan."""
    if scope["type"] == "websocket":
        await serve(scope, receive, send)
    elif scope["type"] == "http":
        await control(scope, receive, send)
    else:
        while True:
            message = await receive()
            seen["lifespan"].append(message["type"])
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Do before the accept what the path says, then echo and obey."""
    await receive()
    me: Connection = scope["wsauth"]
    subject = me.identity.subject
    if scope["path"].startswith("/before/"):
        await before(scope["path"].removeprefix("/before/"), me, receive, send)
        return
    sends[subject] = send
    chosen = next((offer for offer in scope["subprotocols"] if offer.startswith("chat.")), None)
    if scope["path"] == "/picky":
        chosen = None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-app", b"chat")]})
    if scope["path"] == "/deaf":
        await asyncio.sleep(3600)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            seen[subject].append(["disconnect", message.get("code")])
            await try_to_send(subject, send)
            return
        if message.get("text") is None:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        elif await obey(message["text"], scope, send):
            return


async def before(what: str, me: Connection, receive: Receive, send: Send) -> None:
    """Say no before the accept, in every way that applications know."""
    if what == "require":
        me.require("nobody:has:this")
    if what == "raise":
        raise RuntimeError("the application broke before it accepted")
    if what == "close":
        await send({"type": "websocket.close", "code": 4003})
    elif what.isdecimal():
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "websocket.http.response.start", "status": int(what), "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"the application says no"})
    if what in {"accept", "wait"}:
        await receive()


async def obey(text: str, scope: Scope, send: Send) -> bool:
    """Echo, or do what a command says; true when the application is done."""
    me: Connection = scope["wsauth"]
    command, _, rest = text.partition(" ")
    if command == "raise":
        raise RuntimeError("the application broke")
    if command == "require":
        me.require(rest)
    if command == "close":
        await send({"type": "websocket.close", "code": int(rest), "reason": "the application's"})
    elif command == "close-by-connection":
        await me.close(int(rest), "the connection's")
    elif command == "refuse":
        await me.refuse(rest, "room: is required")
    elif command == "flood":
        await flood(me.identity.subject, float(rest), send)
    elif command == "raw":
        await send({"type": "websocket.send", "text": rest})
    elif command in {"who", "scope"}:
        shown = described(scope) if command == "scope" else {"subject": me.identity.subject, "ends": me.expires_at}
        await send({"type": "websocket.send", "text": json.dumps(shown)})
    elif command != "return":
        await send({"type": "websocket.send", "text": text})
    return command == "return"


async def flood(subject: str, pause: float, send: Send) -> None:
    """Write until the socket is closed, with so many seconds between messages."""
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(1 << 16)})
            written[subject] += 1
            await asyncio.sleep(pause)
    except OSError:
        seen[subject].append("OSError")
        raise


async def try_to_send(subject: str, send: Send) -> None:
    """Write after the end, and note what that raises."""
    try:
        await send({"type": "websocket.send", "text": "too late"})
    except OSError:
        seen[subject].append("OSError")


def described(scope: Scope) -> dict[str, Any]:
    """Return what the application can see of its scope."""
    return {
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        "query": scope["query_string"].decode("latin-1"),
        "subprotocols": scope["subprotocols"],
        "user": [scope["user"].is_authenticated, scope["user"].display_name, scope["user"].identity.issuer],
        "scopes": ["chat:lobby:read" in scope["auth"].scopes, "chat:admin" in scope["auth"].scopes],
        "connection": isinstance(scope["wsauth"], Connection),
    }


async def control(scope: Scope, _receive: Receive, send: Send) -> None:
    """Do for a test what an application does in its own code: `/control/VERB?NAME=VALUE`."""
    asked = dict(parse_qsl(scope["query_string"].decode()))
    verb = scope["path"].rpartition("/")[2]
    try:
        answer = await called(verb, asked)
    except Refused as error:
        answer = {"refused": error.code}
    body = json.dumps(answer).encode()
    start: AsgiMessage = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json")],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def called(verb: str, asked: dict[str, str]) -> Any:
    """Call the guard, or tell what was seen."""
    if verb == "seen":
        return seen[asked["subject"]]
    if verb == "written":
        return written[asked["subject"]]
    if verb == "served":
        return f"{type(app).__module__}.{type(app).__qualname__}"
    if verb == "count":
        return len(guard.connections)
    if verb == "push":
        task = asyncio.get_running_loop().create_task(pushed(asked["subject"], asked["text"]))
        pushes.add(task)
        task.add_done_callback(pushes.discard)
        return None
    if verb == "ticket":
        identity = Identity(asked.pop("subject"), issuer=ISSUER)
        return await guard.issue_ticket(identity, path=asked.get("path"), origin=asked.get("origin"))
    report: Report
    if verb == "revoke":
        report = await guard.revoke(**asked)
    else:
        retry_after = float(asked.pop("retry_after", 0)) or None
        report = await guard.disconnect(**asked, retry_after=retry_after)
    return msgspec.to_builtins(report)


async def pushed(subject: str, text: str) -> None:
    """Write to somebody's connection from another task."""
    try:
        await sends[subject]({"type": "websocket.send", "text": text})
    except OSError:
        seen[subject].append("OSError")


bare = chat
app = WebSocketAuthMiddleware(bare, guard=guard)

logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s")
