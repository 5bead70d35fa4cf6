"""The guarded application that is attacked.

It answers every message with `SUBJECT: TEXT`, does what a few messages ask for, and has a control surface over HTTP
that the tests use, as an application's own administration would.
"""

import asyncio
import json
import logging
import sys
from typing import Any
from urllib.parse import parse_qs

from tests.allowing import FREELY
from tests.attacks.cast import AUDIENCE, COOKIE, ISSUER, ORIGIN, PASSWORDS, SECRET
from wsauth import Connection, Guard, Identity, JWTVerifier, PasswordVerifier, Refused, Route, StepUpRequired
from wsauth.core import events
from wsauth.core.credentials import Credentials
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.asgi.http import Request
from wsauth.integrations.asgi.types import AsgiMessage, Receive, Scope, Send

OURS = ("wsauth", "user", "auth")
SOURCES = ("header", "cookie", "ticket", "subprotocol", "message")


def check(username: str, password: str) -> Identity | None:
    """Say whose password it is."""
    known = PASSWORDS.get(username)
    return Identity(username, issuer="passwords") if known is not None and known == password else None


class OddVerifier:
    """Judge `odd-…` tokens in all the ways a verifier should not."""

    async def verify(self, credentials: Credentials) -> Any:
        """Do what the token says: `odd-slow-SECONDS`, `odd-raise`, `odd-one`, `odd-yes`, `odd-hang`."""
        _, _, what = credentials.secret.partition("odd-")
        if credentials.kind != "token" or not what:
            return None
        name, _, rest = what.partition("-")
        if name == "slow":
            await asyncio.sleep(float(rest))
            return Identity("alice", issuer=ISSUER, token_id=credentials.secret)
        if name == "raise":
            raise RuntimeError(f"cannot judge {credentials.secret}")
        if name == "hang":
            await asyncio.Event().wait()
        if name == "unknown":
            raise Refused("no_such_code", f"cannot judge {len(credentials.secret)} characters")
        return {"one": 1, "yes": "yes", "true": True}.get(name)


guard = Guard(
    allowances=FREELY,
    verifiers=[
        OddVerifier(),
        JWTVerifier(
            issuer=ISSUER,
            audience=AUDIENCE,
            secret=SECRET,
            cookie=COOKIE,
            leeway=0,
            roles={"member": "member", "admin": "admin"},
        ),
        PasswordVerifier(check),
    ],
    origins=[ORIGIN],
    roles={"member": ["chat:*:read"], "admin": ["chat:**", "panel:open"]},
    ticket_ttl="2s",
    routes=[
        Route("/admin", require=["panel:open"]),
        Route("/anonymous", anonymous=True),
        Route("/basic", sources=[*SOURCES, "basic"]),
        Route("/insecure", sources=["insecure_query", "insecure_bare_subprotocol"]),
        Route("/hurried", auth_timeout="1s", grace="1s"),
        Route("/graceless", grace=0),
        Route("/chat/*", subprotocols=["chat"]),
    ],
)
told: list[events.Event] = []
delivered: list[str] = []


@guard.on(
    events.Connected
    | events.Renewed
    | events.HandshakeRefused
    | events.RenewalRefused
    | events.MessageRefused
    | events.Revoked
    | events.Closed
)
def _note(event: events.Event) -> None:
    told.append(event)


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    me: Connection = scope["wsauth"]
    await receive()
    if scope["path"] == "/chat/broken":
        raise RuntimeError("the application fails before it accepts")
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text") or f"{len(message['bytes'])} bytes"
        delivered.append(text)
        await _answer(text, me, scope, send)


async def _answer(text: str, me: Connection, scope: Scope, send: Send) -> None:
    word, _, rest = text.partition(" ")
    if word == "boom":
        raise RuntimeError("the application fails with secrets in flight")
    if word == "scope":
        text = json.dumps({name: repr(value) for name, value in scope.items() if name not in OURS})
    elif word == "allows":
        text = json.dumps([me.allows(rest), rest in scope["auth"].scopes])
    elif word == "require":
        me.require(rest)
    elif word == "sensitive":
        try:
            me.require_login(max_age="60s", acr=("2", "3"))
        except StepUpRequired as no:
            await me.refuse(no.code, no.needed)
            return
    elif word == "wait":
        await asyncio.sleep(float(rest))
    elif word == "flood":
        for _ in range(int(rest)):
            await _say("x" * 60_000, send)
    await _say(f"{me.identity.subject}: {text}", send)


async def _say(text: str, send: Send) -> None:
    await send({"type": "websocket.send", "text": text})


async def _http(scope: Scope, send: Send) -> None:
    asked = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    answer = await _control(scope["path"], asked, scope["wsauth"])
    body = json.dumps(answer).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


async def _control(path: str, asked: dict[str, str], request: Request) -> Any:
    if path == "/control/revoke":
        report = await guard.revoke(**asked)
        return {"matched": report.matched, "closed": report.closed, "cut": report.cut, "complete": report.complete}
    if path == "/control/ticket":
        identity = Identity(asked.pop("subject", "alice"), issuer=ISSUER)
        return await guard.issue_ticket(identity, path=asked.get("path"), origin=asked.get("origin"))
    if path == "/control/delivered":
        return delivered
    if path == "/control/events":
        return [_shown(event) for event in told]
    if path == "/control/me":
        return [request.identity.subject, request.refused.code if request.refused else ""]
    if path == "/control/connections":
        return len(guard.connections)
    return None


def _shown(event: events.Event) -> list[Any]:
    path = event.about.path if isinstance(event, events.ConnectionEvent) else ""
    return [type(event).__name__, getattr(event, "code", ""), path]


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await _websocket(scope, receive, send)
    elif scope["type"] == "http":
        await _http(scope, send)
    else:
        await _lifespan(receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: AsgiMessage = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


app = WebSocketAuthMiddleware(_app, guard=guard)

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s %(message)s")
